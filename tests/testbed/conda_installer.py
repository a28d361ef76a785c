"""Owns a stand-in for Anaconda's and Miniforge's installers, which cannot be had everywhere: a shell
script that keeps constructor's contract to the letter, with a real Python inside.

    installer = conda_installer.make("Anaconda3", "2019.10")

The Python is one that pyenv has, made relocatable with what it is linked to; the oldest of PYTHONS that
is there. It is made once, and cached by what it is made of.
"""

import contextlib
import hashlib
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import unittest

import cache
import requirements

PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12")
CONDA_VERSION = "4.7.12"  # of Anaconda 2019.10
RATTLER = "py-rattler==0.28.0"
PLACE = "/opt/anaconda1anaconda2anaconda3"  # what conda has in the place of a prefix, too

_PARTS = pathlib.Path(__file__).resolve().parent / "conda"
_LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "__pycache__", "ensurepip", "lib2to3")
# What every Debian has; the rest comes along.
_OF_LIBC = re.compile(r"(linux-vdso|ld-linux|libc\.so|libm\.so|libpthread|libdl\.so|libutil|librt)")


class NoPython(unittest.SkipTest):
    """This machine has no Python that could be put into an installer: the test is skipped, with a word."""


def make(
    name: str = "Anaconda3",
    version: str = "2019.10",
    wanted: tuple[str, ...] = PYTHONS,
    conda: str = CONDA_VERSION,
) -> pathlib.Path:
    """NAME-VERSION-Linux-x86_64.sh, whose conda says that it is of that version."""
    found, python = _python(wanted)
    key = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for part in sorted(_PARTS.iterdir()):
        key.update(part.read_bytes())
    key.update(f"{name} {version} {found} {python} {conda}".encode())
    entry = cache.entry(
        f"conda-{name}-{version}-{key.hexdigest()[:12]}",
        lambda place: _make(place, name, version, found, python, conda),
    )
    return next(entry.glob("*.sh"))


def _python(wanted: tuple[str, ...]) -> tuple[str, pathlib.Path]:
    """The version and prefix of the first that pyenv or PATH has."""
    for version in wanted:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            have = _said(["pyenv", "versions", "--bare"]).split()
            full = [one for one in have if one == version or one.startswith(version + ".")]
            if full:
                return full[-1], pathlib.Path(_said(["pyenv", "prefix", full[-1]]).strip())
        command = shutil.which(f"python{version}")
        if command and not pathlib.Path(command).resolve().is_relative_to("/usr/bin"):
            with contextlib.suppress(subprocess.CalledProcessError):
                ask = "import sys, platform; print(platform.python_version(), sys.base_prefix)"
                full_version, prefix = _said([command, "-c", ask]).split()
                return full_version, pathlib.Path(prefix)
    raise NoPython("a Python of pyenv's is needed: " + ", ".join(wanted))


def _said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _make(
    place: pathlib.Path, name: str, version: str, python: str, source: pathlib.Path, conda: str
) -> None:
    root = place / "root"
    _copy_python(source, root, python)
    _add_conda(root, python, conda)
    payload = place / "payload.tar.gz"
    subprocess.run(["tar", "-czf", str(payload), "-C", str(root), "."], check=True)
    size = int(_said(["du", "-sk", str(root)]).split()[0])
    installer = place / f"{name}-{version}-Linux-x86_64.sh"
    installer.write_bytes(script(name, version, payload.read_bytes(), size))
    shutil.rmtree(root)
    payload.unlink()


def script(name: str, version: str, payload: bytes, size_kb: int, md5: str | None = None) -> bytes:
    """The installer around a payload; a wrong `md5` is what its check only warns of."""
    header = (_PARTS / "header.sh").read_text()
    header = header.replace("\n@@END_HEADER@@\n", "\n")
    for key, value in {
        "NAME": name,
        "VERSION": version,
        "DEFAULT": name.lower(),
        "LINES": str(header.count("\n") + 1),
        "MD5": md5 or hashlib.md5(payload).hexdigest(),
        "SIZE_KB": str(size_kb),
        "PLACE": PLACE,
    }.items():
        header = header.replace(f"@{key}@", value)
    return header.encode() + payload


def _copy_python(source: pathlib.Path, root: pathlib.Path, python: str) -> None:
    short = ".".join(python.split(".")[:2])
    (root / "bin").mkdir(parents=True)
    binary = root / "bin" / f"python{short}"
    shutil.copy((source / "bin" / f"python{short}").resolve(), binary)
    for link in ("python", "python3"):
        (root / "bin" / link).symlink_to(binary.name)
    shutil.copytree(
        source / "lib" / f"python{short}",
        root / "lib" / f"python{short}",
        symlinks=True,
        ignore=lambda directory, names: [
            one for one in names
            if one in _LEFT_OUT or one.startswith("config-") or one.startswith("_tkinter")
            or (directory.endswith("site-packages") and not re.match(r"(pip|setuptools|pkg_resources)", one))
        ],
    )
    # It finds its libraries beside itself, and so does what it loads: an RPATH, which is inherited.
    for library in _libraries(binary, root):
        shutil.copy(library, root / "lib" / library.name)
    subprocess.run(
        ["patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/../lib", str(binary)], check=True
    )
    for module in root.glob("lib/python*/lib-dynload/*.so"):
        subprocess.run(["patchelf", "--remove-rpath", str(module)], check=True)


def _libraries(binary: pathlib.Path, root: pathlib.Path) -> set[pathlib.Path]:
    found = set()
    for file in [binary, *root.glob("lib/python*/lib-dynload/*.so")]:
        for line in _said(["ldd", str(file)]).splitlines():
            parts = line.split()
            if "=>" in parts and len(parts) > 2 and parts[2].startswith("/"):
                if not _OF_LIBC.match(parts[0]):
                    found.add(pathlib.Path(parts[2]))
    return found


def _add_conda(root: pathlib.Path, python: str, conda: str) -> None:
    placeholders = []

    def put(path: str, text: str, mode: int = 0o644) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        (root / path).chmod(mode)
        if PLACE in text:
            placeholders.append(path)

    def part(name: str) -> str:
        text = (_PARTS / name).read_text()
        return text.replace("@PLACE@", PLACE).replace("@CONDA_VERSION@", conda)

    put("bin/conda", part("conda.py"), 0o755)
    put("condabin/conda", part("conda.py"), 0o755)
    put("etc/profile.d/conda.sh", part("conda.sh"))
    put("lib/rattler_worker.py", part("rattler_worker.py"))
    pip = f"#!{PLACE}/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    put("bin/pip", pip, 0o755)
    shutil.copytree(requirements.wheel(RATTLER), root / "lib" / "rattler")
    for name, version, build in (
        ("python", python, "h265db76_1"), ("conda", conda, "py37_0"), ("pip", "19.2.3", "py37_0"),
    ):
        stem = f"{name}-{version}-{build}"
        record = {
            **{"name": name, "version": version, "build": build, "build_number": 0, "depends": []},
            **{"subdir": "linux-64", "fn": f"{stem}.tar.bz2", "channel": "defaults", "files": []},
            "url": f"https://repo.anaconda.com/pkgs/main/linux-64/{stem}.tar.bz2",
            "paths_data": {"paths": [], "paths_version": 1},
        }
        put(f"conda-meta/{stem}.json", json.dumps(record) + "\n")
    (root / "conda-meta/placeholders").write_text("".join(f"{one}\n" for one in placeholders))


# Packages for a channel that a test serves.


def package(name: str, version: str, files: dict[str, str], depends: tuple[str, ...] = ()) -> tuple[str, bytes, dict]:
    """A noarch package: its file name, its bytes, and its record in repodata.json."""
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends),
             "subdir": "noarch", "noarch": "generic", "arch": None, "platform": None}
    paths = {"paths_version": 1, "paths": [
        {"_path": path, "path_type": "hardlink", "size_in_bytes": len(text.encode()),
         "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in files.items()]}
    content = {**files, "info/index.json": json.dumps(index), "info/paths.json": json.dumps(paths),
               "info/files": "".join(f"{path}\n" for path in files)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        for path, text in content.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    data = packed.getvalue()
    record = {**index, "md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest(),
              "size": len(data)}
    return f"{name}-{version}-0.tar.bz2", data, record


def channel(packages: list[tuple[str, bytes, dict]]) -> dict[str, bytes]:
    """Path below the channel's URL → content."""
    empty = {"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": {}}
    noarch = {"info": {"subdir": "noarch"}, "packages": {name: record for name, _, record in packages},
              "packages.conda": {}}
    return {"/linux-64/repodata.json": json.dumps(empty).encode(),
            "/noarch/repodata.json": json.dumps(noarch).encode(),
            **{f"/noarch/{name}": data for name, data, _ in packages}}


if __name__ == "__main__":
    print(make(*sys.argv[1:]))
