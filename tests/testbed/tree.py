"""Owns the recipe of the stand-in VM's disk: a Debian like Google's public image of it.

The tree is made once for each suite, recipe and machine configuration and is never changed after
that; every VM gets an overlay of its own above it. Like Google's image it carries the runner of
startup scripts, an ssh server, no package lists, no Jupyter and no python3-venv. The timers that
would take apt's lock at a random moment are masked, and so is google-guest-agent's daemon, which
would manage accounts and addresses that the testbed gives to the VM itself.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import cache
import machine

PACKAGES = [
    "bzip2",
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "fuse3",
    "git",
    "gnupg",
    "google-guest-agent",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "rsyslog",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
    "udev",
    "wget",
    "xz-utils",
]
# Bullseye's archive has no runner of startup scripts: there a test starts bootstrap itself.
ABSENT = {"bullseye": {"google-guest-agent"}}
MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "google-guest-agent.service",
    "systemd-networkd-wait-online.service",
]
# The groups that google-guest-agent gives to an account from ssh-keys, where they exist.
ADMIN_GROUPS = ["adm", "dip", "google-sudoers", "plugdev", "video"]
PEOPLE = {"admin": 1000, "someone": 1001}
SUDOERS = "%google-sudoers ALL=(ALL:ALL) NOPASSWD:ALL\n"

_RECIPE = pathlib.Path(__file__).read_text()  # this file: a change of it makes new trees


class TreeFailed(Exception):
    """A VM's tree could not be made; the message ends with what the failing program said."""


def base(suite: str = "bookworm") -> pathlib.Path:
    """The read-only tree of a Debian suite; made now if the cache does not have it (about 2 minutes)."""
    cache.forget("tree-*", unused_days=7)
    return cache.entry(_name(suite), lambda root: _make(root, suite))


def is_made(suite: str = "bookworm") -> bool:
    """Whether base() returns at once."""
    return (cache.root() / _name(suite)).exists()


def _name(suite: str) -> str:
    borrowed = [machine.archive_sources(suite), machine.apt_settings()]
    borrowed += [machine.pip_settings(), machine.certificates()]
    key = hashlib.sha256((_RECIPE + "".join(borrowed)).encode()).hexdigest()[:12]
    return f"tree-{suite}-{key}"


def _make(root: pathlib.Path, suite: str) -> None:
    packages = [name for name in PACKAGES if name not in ABSENT.get(suite, set())]
    _contained(
        ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}"]
        + [f"--keyring={machine.ARCHIVE_KEYRING}", suite, str(root), machine.archive_address()]
    )
    _borrow_from_machine(root, suite)
    _add_people(root)
    units = root / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    _forget_identity(root)
    (root / "etc/fstab").write_text("")  # the overlay has no device that could be checked
    root.chmod(0o755)


def _borrow_from_machine(root: pathlib.Path, suite: str) -> None:
    trusted = (root / machine.CERTIFICATES.lstrip("/")).read_text()
    extra = [pem for pem in _certificates(machine.certificates()) if pem not in trusted]
    directory = root / "usr/local/share/ca-certificates"
    directory.mkdir(parents=True, exist_ok=True)
    for number, certificate in enumerate(extra):
        (directory / f"machine-{number}.crt").write_text(certificate)
    if extra:
        _contained(["chroot", str(root), "update-ca-certificates"])
    apt = root / "etc/apt"
    (apt / "sources.list").unlink(missing_ok=True)
    (apt / "sources.list.d/debian.sources").write_text(machine.archive_sources(suite))
    (apt / "apt.conf.d/90machine").write_text(machine.apt_settings())
    (root / "etc/pip.conf").write_text(machine.pip_settings())


def _add_people(root: pathlib.Path) -> None:
    _contained(["chroot", str(root), "groupadd", "--system", "google-sudoers"])
    for name, number in PEOPLE.items():
        _contained(
            ["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash"]
            + ["--uid", str(number), "--password", "*", name]
        )
    _contained(
        ["chroot", str(root), "usermod", "--append", "--groups", ",".join(ADMIN_GROUPS), "admin"]
    )
    sudoers = root / "etc/sudoers.d/google_sudo"
    sudoers.write_text(SUDOERS)
    sudoers.chmod(0o440)


def _forget_identity(root: pathlib.Path) -> None:
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    for directory in ("var/lib/apt/lists", "var/cache/apt/archives", "var/log/journal"):
        shutil.rmtree(root / directory, ignore_errors=True)
    for directory in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / directory).mkdir(parents=True)


def _contained(command: list[str]) -> None:
    """Runs a command so that its processes and mounts end with it, however it ends."""
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL"]
        + ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command],
        env=dict(
            os.environ,
            PATH="/usr/sbin:/usr/bin:/sbin:/bin",
            LC_ALL="C.UTF-8",
            DEBIAN_FRONTEND="noninteractive",
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise TreeFailed(f"{command[0]} exited {done.returncode} while making a VM's tree:\n{tail}")


def _certificates(bundle: str) -> list[str]:
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", bundle, re.S)
