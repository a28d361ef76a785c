"""Owns the table of what the build and the tests take from outside, and how each of it is had.

Debian packages come from the machine's own apt sources. What Debian's stable release does not have
goes into the testbed's cache: Catch2 from a newer Debian's signed source package, clang-format,
clang-tidy, selenium and a websocket client, pinned, from the machine's Python package index, and a
Go that is new enough from its module proxy.
"""

import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable

import cache
import machine

DEBIAN = {
    "build": [
        "g++",
        "cmake",
        "ninja-build",
        "ccache",
        "libargon2-dev",
        "libboost1.81-dev",
        "libboost-filesystem1.81-dev",
        "libboost-json1.81-dev",
        "libcli11-dev",
        "libssl-dev",
        "libtomlplusplus-dev",
        "xz-utils",
        "zlib1g-dev",
    ],
    "vm": [
        "debootstrap",
        "iproute2",
        "iptables",
        "openssh-client",
        "procps",
        "systemd-container",
        "util-linux",
    ],
    "test": [
        "chromium",
        "chromium-driver",
        "cmake",
        "curl",
        "dpkg-dev",
        "e2fsprogs",
        "git",
        "gnupg",
        "openssl",
        "patchelf",
        "python3-pip",
        "strace",
        "systemd",
    ],
    "qemu": ["e2fsprogs", "qemu-system-x86"],
    "lint": ["python3-pip"],
}
KERNEL = "linux-image-cloud-amd64"  # for the true VM; unpacked, never installed
CATCH2 = "3.7"
CATCH2_SUITE = "trixie"
GO = (1, 26, 0)
JUPYTER_SERVER = "jupyter-server==2.21.1"  # for the bench of the front, which asks for it itself
SELENIUM = "selenium==4.27.1"
WEBSOCKET = "websocket-client==1.8.0"
WHEELS = {
    "test": [SELENIUM, WEBSOCKET],
    "lint": ["clang-format==23.1.5", "clang-tidy==23.1.4"],
}


class Missing(Exception):
    """Something could not be installed; the message says what and what to do."""


def install(groups: list[str], say: Callable[[str], None]) -> None:
    """Installs what the groups need. `say` gets one line for each thing that had to be done."""
    debian = [package for group in groups for package in DEBIAN[group]]
    _install_debian(sorted(set(debian)), say)
    for group in groups:
        for requirement in WHEELS.get(group, []):
            wheel(requirement, say)
    if "test" in groups:
        catch2(say)


def wheel(requirement: str, say: Callable[[str], None] = lambda line: None) -> pathlib.Path:
    """The directory that holds a pinned Python package; fit for PYTHONPATH."""

    def make(directory: pathlib.Path) -> None:
        say(f"installing {requirement} from the Python package index")
        _run(
            ["/usr/bin/python3", "-m", "pip", "install", "--quiet", "--no-compile"]
            + ["--root-user-action=ignore", "--target", str(directory), requirement],
            f"pip could not install {requirement}",
        )

    return cache.entry("wheel-" + requirement.replace("==", "-"), make)


def catch2(say: Callable[[str], None] = lambda line: None) -> pathlib.Path:
    """Catch2's install prefix; fit for CMAKE_PREFIX_PATH."""

    def make(directory: pathlib.Path) -> None:
        say(f"building Catch2 {CATCH2} from Debian {CATCH2_SUITE}'s source package")
        work = directory / "work"
        source = _debian_source("catch2", CATCH2_SUITE, work)
        if not source.name.startswith(f"catch2-{CATCH2}"):
            raise Missing(
                f"Debian {CATCH2_SUITE} carries {source.name} where Catch2 {CATCH2} is expected: "
                "change CATCH2 in tests/testbed/requirements.py"
            )
        build = work / "build"
        failure = f"Catch2 could not be built from {source}"
        _run(
            ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(build)]
            + ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF", "-DCATCH_INSTALL_DOCS=OFF"]
            + [f"-DCMAKE_INSTALL_PREFIX={directory}", "-DCMAKE_CXX_STANDARD=20"],
            failure,
        )
        _run(["cmake", "--build", str(build), "--target", "install"], failure)
        _run(["rm", "-rf", str(work)], failure)

    return cache.entry(f"catch2-{CATCH2}", make)


def go(say: Callable[[str], None] = lambda line: None) -> pathlib.Path:
    """A go of at least version GO: the machine's own, else one that an older one fetches."""
    own = shutil.which("go")
    if own and _go_version(own) >= GO:
        return pathlib.Path(own)

    def make(directory: pathlib.Path) -> None:
        if not own:
            _install_debian(["golang-go"], say)
        name = f"go{'.'.join(map(str, GO))}"
        say(f"fetching {name} as a module")
        machine_kind = _said([own or "/usr/bin/go", "env", "GOOS", "GOARCH"]).split()
        module = f"golang.org/toolchain@v0.0.1-{name}.{'-'.join(machine_kind)}"
        _run(
            [own or "/usr/bin/go", "mod", "download", module],
            f"{name} could not be fetched",
            directory=directory,
            environment={
                "GOFLAGS": "-modcacherw",
                "GOMODCACHE": str(directory / "modules"),
                "GOTOOLCHAIN": "local",
            },
        )
        (directory / "modules" / module).rename(directory / "go")
        shutil.rmtree(directory / "modules")
        # A module carries no modes.
        made = directory / "go"
        for program in [*made.glob("bin/*"), *made.glob("pkg/tool/*/*")]:
            program.chmod(0o755)

    return cache.entry(f"go-{'.'.join(map(str, GO))}", make) / "go/bin/go"


def go_program(
    source: pathlib.Path, say: Callable[[str], None] = lambda line: None
) -> pathlib.Path:
    """The static executable of a Go program, whose modules go.sum pins."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]

    def make(directory: pathlib.Path) -> None:
        command = go(say)
        say(f"building {source.name}")
        _run(
            [str(command), "build", "-o", str(directory / source.name), "."],
            f"{source} could not be built",
            directory=source,
            environment={
                "CGO_ENABLED": "0",
                "GOCACHE": str(cache.root() / "go-build"),
                "GOFLAGS": "-modcacherw -mod=readonly -trimpath -buildvcs=false",
                "GOMODCACHE": str(cache.root() / "go-modules"),
                "GOTOOLCHAIN": "local",
            },
        )

    return cache.entry(f"go-program-{source.name}-{digest}", make) / source.name


def _go_version(command: str) -> tuple[int, ...]:
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", _said([command, "version"]))
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def _said(command: list[str]) -> str:
    environment = dict(os.environ, GOTOOLCHAIN="local")
    return subprocess.run(
        command, check=False, stdout=subprocess.PIPE, text=True, env=environment, cwd="/"
    ).stdout


@functools.cache
def debian_files(package: str) -> pathlib.Path:
    """The files of a Debian package, unpacked, from the machine's own archive; none of it is run."""
    known = _said(["apt-cache", "show", "--no-all-versions", package])
    versions = [line.split()[1] for line in known.splitlines() if line.startswith("Version:")]
    if not versions:
        raise Missing(f"the machine's package lists do not have {package}: run apt-get update")

    def make(directory: pathlib.Path) -> None:
        apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
        _run(apt, f"apt-get could not download {package}", directory=directory)
        archive = next(directory.glob("*.deb"))
        _run(["dpkg-deb", "--extract", str(archive), str(directory)], f"{archive} could not be unpacked")

    return cache.entry(f"deb-{package}-{versions[0].replace(':', '-')}", make)


@functools.cache
def kernel() -> pathlib.Path:
    """The files of Debian's kernel for clouds: boot/vmlinuz-RELEASE and lib/modules/RELEASE."""
    needs = re.findall(r"^ *Depends: (linux-image-\S+)", _said(["apt-cache", "depends", KERNEL]), re.M)
    if not needs:
        raise Missing(f"the machine's package lists do not have {KERNEL}: run apt-get update")
    return debian_files(needs[0])


def _debian_source(package: str, suite: str, work: pathlib.Path) -> pathlib.Path:
    """Fetches and unpacks a source package with an apt configuration of its own."""
    lists = work / "lists"
    (lists / "partial").mkdir(parents=True)
    sources = work / "suite.sources"
    sources.write_text(machine.archive_sources(suite, "deb-src"))
    options = [
        f"Dir::Etc::SourceList={sources}",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={lists}",
        f"Dir::Cache={work}",
        "APT::Sandbox::User=root",
    ]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    failure = f"the source of {package} could not be fetched from Debian {suite}"
    _run([*apt, "update"], failure)
    _run([*apt, "source", package], failure, directory=work)
    return next(path for path in work.glob(f"{package}-*") if path.is_dir())


def _install_debian(packages: list[str], say: Callable[[str], None]) -> None:
    with cache.locked(cache.root() / ".apt.lock"):
        absent = [package for package in packages if not _is_installed(package)]
        if not absent:
            return
        apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
        say("reading the package lists")
        _run([*apt, "update"], "apt-get update failed")
        _run(["dpkg", "--configure", "--pending"], "dpkg could not finish an installation")
        say(f"installing {' '.join(absent)}")
        _run(
            [*apt, "install", "--yes", "--no-install-recommends", *absent],
            f"apt-get could not install {' '.join(absent)}",
        )


def _is_installed(package: str) -> bool:
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
    )
    return query.stdout == "installed"


def _run(
    command: list[str],
    failure: str,
    directory: pathlib.Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env=dict(os.environ, DEBIAN_FRONTEND="noninteractive", **(environment or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise Missing(f"{failure} ({command[0]} exited {done.returncode}):\n{tail}")
