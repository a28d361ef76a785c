"""Owns what a stand-in VM borrows from the machine that it runs on.

Package sources, the certificates that the machine trusts, and the settings of apt and pip are read
when they are needed and handed on, so the testbed knows no mirror, proxy or company CA by name.
"""

import configparser
import os
import pathlib
import re
import subprocess

ARCHIVE_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class NoArchive(Exception):
    """The machine's apt sources name no Debian archive."""


def archive_sources(suite: str, kind: str = "deb") -> str:
    """The machine's own Debian archive entries in deb822 form, turned to `suite`."""
    own = _codename()
    entries = []
    for fields in _source_entries():
        suites = [name for name in fields["suites"] if _is_archive_suite(name, own)]
        if not suites or "main" not in fields["components"] or not _signed_by_debian(fields):
            continue
        entries.append(
            f"Types: {kind}\n"
            f"URIs: {' '.join(fields['uris'])}\n"
            f"Suites: {' '.join(suite + name.removeprefix(own) for name in suites)}\n"
            f"Components: {' '.join(fields['components'])}\n"
            f"Signed-By: {ARCHIVE_KEYRING}\n"
        )
    if not entries:
        raise NoArchive(
            f"apt's sources on this machine name no signed Debian archive for {own}: "
            "the testbed needs a Debian machine with its own archive in /etc/apt/sources.list.d"
        )
    return "\n".join(entries)


def archive_address() -> str:
    """The address of the Debian archive itself (not of its security updates)."""
    own = _codename()
    for fields in _source_entries():
        if own in fields["suites"] and _signed_by_debian(fields):
            return fields["uris"][0]
    raise NoArchive(f"apt's sources on this machine name no Debian archive for {own}")


def apt_settings() -> str:
    """The machine's settings for reaching its archive (proxies, certificates, retries)."""
    dump = subprocess.run(
        ["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True
    ).stdout
    wanted = re.compile(r"Acquire::(https?|Retries|Check-Valid-Until)\b.*\".+\";$", re.I)
    return "".join(line + "\n" for line in dump.splitlines() if wanted.match(line))


def certificates() -> str:
    """Every CA certificate that the machine trusts, in PEM form."""
    bundle = pathlib.Path(os.environ.get("SSL_CERT_FILE") or CERTIFICATES)
    return bundle.read_text(encoding="ascii", errors="ignore")


def pip_settings() -> str:
    """The machine's pip.conf, with PIP_* of the environment, as a VM can use it."""
    settings = configparser.RawConfigParser()
    settings.read(["/etc/pip.conf", os.environ.get("PIP_CONFIG_FILE", "")])
    if not settings.has_section("global"):
        settings.add_section("global")
    for variable, value in os.environ.items():
        if variable.startswith("PIP_") and variable != "PIP_CONFIG_FILE":
            settings.set("global", variable.removeprefix("PIP_").lower().replace("_", "-"), value)
    for section in settings.sections():
        for option, value in list(settings.items(section)):
            if option == "cert":
                settings.set(section, option, CERTIFICATES)
            elif value.startswith("/"):
                settings.remove_option(section, option)
    lines = []
    for section in settings.sections():
        lines += [f"[{section}]"] + [f"{key} = {value}" for key, value in settings.items(section)]
    return "\n".join(lines) + "\n"


def resolver() -> str:
    """A resolv.conf whose name servers can be reached from another network namespace."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        try:
            text = pathlib.Path(path).read_text()
        except FileNotFoundError:
            continue
        servers = re.findall(r"^nameserver\s+(\S+)", text, re.M)
        if any(not server.startswith("127.") and server != "::1" for server in servers):
            return text
    return text


def _codename() -> str:
    release = pathlib.Path("/etc/os-release").read_text()
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.M)
    return match.group(1) if match else "unknown"


def _is_archive_suite(name: str, own: str) -> bool:
    return name in (own, f"{own}-updates", f"{own}-security")


def _signed_by_debian(fields: dict) -> bool:
    return "debian-archive" in fields["signed_by"] or not fields["signed_by"]


def _source_entries() -> list[dict]:
    entries = []
    apt = pathlib.Path("/etc/apt")
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text()
        entries += _deb822(text) if path.suffix == ".sources" else _one_line(text)
    return entries


def _deb822(text: str) -> list[dict]:
    entries = []
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", text):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        fields = dict(re.findall(r"^([\w-]+):\s*(.*)$", unfolded, re.M))
        fields = {name.lower(): value for name, value in fields.items()}
        if "uris" not in fields or fields.get("enabled", "yes").lower() == "no":
            continue
        entries.append(
            {
                "uris": fields["uris"].split(),
                "suites": fields.get("suites", "").split(),
                "components": fields.get("components", "").split(),
                "signed_by": fields.get("signed-by", ""),
            }
        )
    return entries


def _one_line(text: str) -> list[dict]:
    entries = []
    for match in re.finditer(r"^deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s*(.*)$", text, re.M):
        options, address, suite, components = match.groups()
        signed_by = re.search(r"signed-by=(\S+)", options or "")
        entries.append(
            {
                "uris": [address],
                "suites": [suite],
                "components": components.split(),
                "signed_by": signed_by.group(1) if signed_by else "",
            }
        )
    return entries
