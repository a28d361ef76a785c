"""Owns what the linters are asked: clang-format over all of our C++, clang-tidy over what is shipped.

Both are pinned. clang-tidy costs seconds a file, and half a minute where Catch2's macros are. That a
file was clean is remembered in the cache, under a hash of all that its verdict depends on: the
command, the configuration, and what the file includes.
"""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import time

import build
import cache
import requirements

SHIPPED = ("agent", "bootstrap")
ROOMS = (*SHIPPED, "tests")
PRESET = "asan"
MEMORY_SECONDS = 30 * 24 * 3600

# What g++ is told and clang does not know.
_EXTRA = [
    "--extra-arg=-Wno-unknown-warning-option",
    "--extra-arg=-Wno-unused-command-line-argument",
]


def format_problems() -> tuple[int, str]:
    """How many files clang-format read, and what it would change; empty when all is well."""
    files = [
        str(path.relative_to(build.REPOSITORY))
        for room in ROOMS
        for path in sorted((build.REPOSITORY / room).rglob("*"))
        if path.suffix in (".cpp", ".hpp", ".c", ".h")
    ]
    if not files:
        return 0, ""
    done = subprocess.run(
        [_tool("clang-format"), "--dry-run", "--Werror", *files],
        cwd=build.REPOSITORY,
        capture_output=True,
        text=True,
    )
    return len(files), "" if done.returncode == 0 else done.stdout + done.stderr


def tidy_problems() -> tuple[int, int, str]:
    """How many files there are, how many were looked at anew, and what clang-tidy says of them.

    The preset must have been built: its dependencies say which verdicts are still good.
    """
    memory = cache.root() / "tidy"
    memory.mkdir(exist_ok=True)
    _forget_old(memory)
    included = _included_files()
    commands = json.loads((build.directory(PRESET) / "compile_commands.json").read_text())
    ours = [command for command in commands if _is_shipped(command["file"])]
    due = []
    for command in ours:
        verdict = memory / _key(command, included)
        if verdict.exists():
            os.utime(verdict)
        else:
            due.append((command["file"], verdict))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(lambda one: _tidy(*one), due))
    return len(ours), len(due), "".join(dict.fromkeys(said))


def _tidy(file: str, verdict: pathlib.Path) -> str:
    done = subprocess.run(
        [_tool("clang-tidy"), "--quiet", "-p", str(build.directory(PRESET)), *_EXTRA, file],
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        verdict.touch()
        return ""
    return done.stdout or done.stderr


def _tool(name: str) -> str:
    package = next(wheel for wheel in requirements.WHEELS["lint"] if wheel.startswith(f"{name}=="))
    return str(requirements.wheel(package) / name.replace("-", "_") / "data" / "bin" / name)


def _is_shipped(file: str) -> bool:
    path = pathlib.Path(file)
    ours = any(path.is_relative_to(build.REPOSITORY / room) for room in SHIPPED)
    return ours and path.suffix == ".cpp"


def _included_files() -> dict[str, list[str]]:
    """What ninja saw each object read when it was last compiled, by the object's path."""
    ninja = ["ninja", "-C", str(build.directory(PRESET)), "-t", "deps"]
    said = subprocess.run(ninja, check=True, capture_output=True, text=True).stdout
    included: dict[str, list[str]] = {}
    for paragraph in said.split("\n\n"):
        head, *files = paragraph.strip().split("\n")
        if files:
            included[head.split(": #deps")[0]] = [file.strip() for file in files]
    return included


def _key(command: dict, included: dict[str, list[str]]) -> str:
    output = command.get("output") or _output(command)
    files = included.get(output.removeprefix(str(build.directory(PRESET)) + "/"))
    # Relative to the clone: another clone finds this one's verdicts.
    parts = [command["command"].replace(str(build.REPOSITORY), ""), *requirements.WHEELS["lint"], *_EXTRA]
    parts += [(build.REPOSITORY / ".clang-tidy").read_text(), _fingerprint(command["file"])]
    if files is None:
        parts.append(str(time.monotonic_ns()))  # never compiled: nothing is known of it
    for file in files or []:
        parts.append(_fingerprint(os.path.join(command["directory"], file)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _output(command: dict) -> str:
    found = re.search(r"\s-o\s+(\S+)", command["command"])
    return shlex.split(found[1])[0] if found else ""


@functools.cache
def _fingerprint(file: str) -> str:
    path = pathlib.Path(file)
    if path.is_relative_to(build.REPOSITORY):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{path.relative_to(build.REPOSITORY)} {digest}"
    about = path.stat()
    return f"{file} {about.st_size} {about.st_mtime_ns}"


def _forget_old(memory: pathlib.Path) -> None:
    for verdict in memory.iterdir():
        if time.time() - verdict.stat().st_mtime > MEMORY_SECONDS:
            verdict.unlink(missing_ok=True)
