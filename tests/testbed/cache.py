"""Owns the cache: things that are costly to make, made once and shared by every run on this machine.

An entry is a directory that appears whole or not at all: it is made beside its place under a lock
and renamed into it, so a run that is killed half way leaves nothing that a later run would trust.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator


def root() -> pathlib.Path:
    """The cache's directory; AGENT_TESTBED_CACHE names another one."""
    path = pathlib.Path(os.environ.get("AGENT_TESTBED_CACHE") or "/var/cache/agent-testbed")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Holds an exclusive lock on the file at `path`, waiting for whoever has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def entry(name: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The entry `name`; `make` fills its still empty directory if the cache does not have it."""
    place = root() / name
    if place.exists():
        os.utime(place)
        return place
    with locked(root() / f".{name}.lock"):
        if not place.exists():
            unfinished = root() / f".{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(place)
    return place


def forget(pattern: str, unused_days: float) -> None:
    """Removes entries that were not asked for in so many days and that no VM has as its disk."""
    with locked(root() / ".forget.lock"):
        mounts = pathlib.Path("/proc/mounts").read_text()
        for place in root().glob(pattern):
            unused = time.time() - place.stat().st_mtime > unused_days * 24 * 3600
            if unused and str(place) not in mounts:
                shutil.rmtree(place)
