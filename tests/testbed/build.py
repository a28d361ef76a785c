"""Owns how the product is configured and compiled on this machine, for tests and demonstration alike."""

import os
import pathlib
import re
import shlex
import subprocess
import time
from collections.abc import Callable

import cache
import requirements

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


class BuildFailed(Exception):
    """cmake or the compiler refused; the message ends with what they said."""


def directory(preset: str) -> pathlib.Path:
    return REPOSITORY / "build" / preset


def product(name: str) -> pathlib.Path:
    """The shipped executable `agent` or `bootstrap`, where release-static builds it."""
    return directory("release-static") / name / name


def configure(preset: str, say: Callable[[str], None], with_tests: bool) -> None:
    """Runs cmake for a preset of CMakePresets.json; `with_tests` gives it the cache's Catch2."""
    command = ["cmake", "--preset", preset]
    command += [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX")]
    if with_tests:
        command += [f"-DCMAKE_PREFIX_PATH={requirements.catch2(say)}"]
    with _locked(preset):
        _run(command, say)


def compile(preset: str, say: Callable[[str], None], targets: tuple[str, ...] = ()) -> None:
    """Builds the targets of a configured preset, all of them unless some are named."""
    command = ["cmake", "--build", "--preset", preset]
    with _locked(preset):
        _run([*command, "--target", *targets] if targets else command, say)


def _locked(preset: str):
    directory(preset).mkdir(parents=True, exist_ok=True)
    return cache.locked(directory(preset) / ".lock")


def _run(command: list[str], say: Callable[[str], None]) -> None:
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        # Relative to the clone: another clone finds what this one has compiled.
        env=dict(
            os.environ,
            CCACHE_DIR=str(cache.root() / "ccache"),
            CCACHE_BASEDIR=str(REPOSITORY),
            CCACHE_NOHASHDIR="1",
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        said, spoke = [], time.monotonic()
        for line in process.stdout:
            said.append(line)
            count = re.match(r"\[(\d+)/(\d+)\]", line)
            if count and time.monotonic() - spoke > 15:
                say(f"compiling: {count[1]} of {count[2]}")
                spoke = time.monotonic()
    if process.returncode != 0:
        tail = "".join(line for line in said[-200:] if not re.match(r"\[\d+/\d+\] \w", line))
        raise BuildFailed(f"`{shlex.join(command)}` exited {process.returncode}:\n{tail}")
