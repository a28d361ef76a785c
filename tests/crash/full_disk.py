#!/usr/bin/python3
"""Proves that a disk which is really full, out of inodes or read-only is said plainly and mended by nothing
more than room: on ext4 under /var, /etc and /opt, one after the other, and under all of them.

In each case the run must settle as failed, name the step, the place and what to do, tell a want of inodes
from a want of bytes, and leave no temporary or empty file; a file that it should have replaced is the old
one; once there is room again, the next run is ready.

Covers F11, F12, F13, F16.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import lane
from errors import CHANGED, REPLACED
from world import CONFIG, STEPS, Broken, Outcome, World

LONG = 90
# Sparse; of a size at which the step disk_space is content, as long as they are empty.
IMAGES = {"var": ("300M", 4000), "etc": ("16M", 1000), "opt": ("500M", 20000)}
WHOLE = {"/": ("1G", 30000)}
BLOCK = 4096
LEFT = {"etc": [0, 16 * 1024]}  # what is to go there fits into more
MORE = [0, 16 * 1024, 256 * 1024]
BALLAST = "ballast"
# What fills the disk while packages are being unpacked: after the look at how much room there is.
FILL = """#!/bin/sh
fallocate -l "$(($(stat -f -c '%a*%S' /PLACE)))" /PLACE/ballast
dd if=/dev/zero of=/PLACE/ballast.more bs=4k 2>/dev/null
true
"""


# What fills /run while Jupyter is started.
FILL_RUN = """#!/bin/sh
dd if=/dev/zero of=/run/ballast bs=4k 2>/dev/null
: > /stub/filled
"""


@dataclasses.dataclass
class Case:
    what: str
    spoil: Callable[[World], None]
    mend: Callable[[World], None]
    says: tuple[str, ...]  # one of these is in what the run says
    config: str = CONFIG
    set_up: bool = False  # the machine was ready before


def make_image(path: pathlib.Path, size: str, inodes: int) -> pathlib.Path:
    subprocess.run(["truncate", "--size", size, str(path)], check=True)
    # -m 0: else root still writes when it is full.
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), str(path)],
        check=True,
    )
    return path


def fill(world: World, place: str, left: int) -> None:
    """Until there is no more room than `left` bytes."""
    with open(world.root / place / BALLAST, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            free = os.statvfs(world.root / place)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
        file.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError):
            while file.write(b"\0" * BLOCK):
                pass
        file.truncate(file.tell() - left)


def use_inodes(world: World, place: str) -> None:
    directory = world.root / place / BALLAST
    directory.mkdir()
    with contextlib.suppress(OSError):
        for number in range(1_000_000):
            (directory / str(number)).touch()


def empty(world: World, place: str) -> None:
    subprocess.run(["sh", "-c", f"rm -rf {world.root / place}/{BALLAST}*"], check=True)


def remount(world: World, place: str, how: str) -> None:
    exit, said = world.execute(["mount", "-o", f"remount,{how}", f"/{place}"])
    if exit != 0:
        raise AssertionError(f"/{place} could not be remounted {how}: {said}")


def fill_at_unpack(world: World, place: str) -> None:
    script = world.root / "stub/at-unpack"
    script.write_text(FILL.replace("PLACE", place))
    script.chmod(0o755)


def end_filling(world: World, place: str) -> None:
    (world.root / "stub/at-unpack").unlink()
    empty(world, place)


def cases_of(place: str) -> list[Case]:
    def at(work: Callable, *more) -> Callable[[World], None]:
        return lambda world: work(world, place, *more)

    name = f"/{place}" if place else "/"
    full = ("No space left on device", f"{name} is full", "the disk is too small")
    inodes = (f"{name} has no free inodes", "inodes are free")
    cases = [
        Case(f"{name} is full to {left} bytes", at(fill, left), at(empty), full)
        for left in LEFT.get(place, MORE)
    ]
    cases.append(Case(f"{name} has no inodes left", at(use_inodes), at(empty), inodes))
    cases.append(
        Case(f"{name} is full from a run's middle on", at(fill_at_unpack), at(end_filling), full)
    )
    read_only = (f"{name} is mounted read-only",)
    cases.append(
        Case(f"{name} is read-only", at(remount, "ro"), at(remount, "rw"), read_only)
    )
    if place != "opt":
        cases.append(
            Case(
                f"{name} is full when the configuration changes",
                at(fill, 0),
                at(empty),
                full,
                CHANGED,
                set_up=True,
            )
        )
    return cases


def attempt(world: World, case: Case) -> str:
    """What is wrong with it, "" if nothing is."""
    world.set_config(CONFIG)
    world.reset()
    world.clear_log()
    if case.set_up and (outcome := world.run(timeout=LONG)).state != "ready":
        return f"the machine could not be set up: {outcome.brief()}"
    before = content(world)
    world.set_config(case.config)
    case.spoil(world)
    try:
        outcome = world.run(timeout=LONG)
        problem = judge(world, case, outcome, before)
    finally:
        case.mend(world)
    if problem:
        return problem
    again = world.run(timeout=LONG)
    if again.state != "ready" or set(again.steps) != set(STEPS):
        return f"with room again it does not converge: {again.brief()}"
    try:
        world.check_invariants()
    except Broken as broken:
        return str(broken)
    return ""


def content(world: World) -> dict[str, bytes]:
    paths = {name: world.root / name for name in REPLACED}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def judge(world: World, case: Case, outcome: Outcome, before: dict[str, bytes]) -> str:
    if outcome.settled_after is None:
        return f"it did not settle: {outcome.brief()}"
    # What runs on an earlier configuration goes on running; the problem is told all the same.
    problem = outcome.status["problem"]
    if not problem:
        return f"{outcome.state}, and no problem: {outcome.brief()}"
    if not any(words in problem["message"] for words in case.says) or not problem["next"]:
        return f"it does not say one of {case.says}, with what to do next: {problem}"
    try:
        world.check_invariants()
    except Broken as broken:
        return str(broken)
    torn = [
        name
        for name, old in before.items()
        if not (world.root / name).exists()
        or (name.startswith("etc") and case.what.startswith("/etc") and old != content(world)[name])
    ]
    return f"the old file is gone: {torn}" if torn else ""


def without_exec(world: World) -> str:
    """F16: nothing is executed in /tmp, and little is needed of it."""
    world.set_config(CONFIG)
    world.reset()
    remount(world, "tmp", "noexec,size=16k")
    outcome = world.run(timeout=LONG)
    remount(world, "tmp", "exec,size=64M")
    return "" if outcome.state == "ready" else outcome.brief()


def full_run(world: World) -> str:
    """Where /run has no room when the machine becomes ready, that is published once it has."""
    world.set_config(CONFIG)
    world.reset()
    script = world.root / "stub/at-jupyter"
    script.write_text(FILL_RUN)
    script.chmod(0o755)
    filled = world.root / "stub/filled"

    def make_room() -> None:
        end = time.monotonic() + LONG
        while not filled.exists() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2)
        (world.root / "run/ballast").unlink(missing_ok=True)

    person = threading.Thread(target=make_room)
    person.start()
    outcome = world.run(timeout=LONG)
    person.join()
    script.unlink()
    if outcome.state != "ready":
        return outcome.brief()
    return "" if "/run/agent/status.json: No space left" in outcome.log else "it was never full"


OTHERS = {
    "/tmp is noexec and has 16 KiB": without_exec,
    "/run is full as the machine becomes ready": full_run,
}


def main() -> None:
    given = lane.options(__doc__.splitlines()[0], 0)
    begin = time.monotonic()
    problems = {}
    tried = 0
    with tempfile.TemporaryDirectory(prefix="agent-disks-") as scratch:
        for images in (IMAGES, WHOLE):
            made = {
                place: make_image(pathlib.Path(scratch) / f"{place.strip('/') or 'root'}.img", *shape)
                for place, shape in images.items()
            }
            with World(images=made) as world:
                cases = [case for place in images for case in cases_of(place.strip("/"))]
                for case in cases:
                    if given.only and given.only not in case.what:
                        continue
                    tried += 1
                    start = time.monotonic()
                    problem = attempt(world, case)
                    print(f"  {case.what}: {problem or 'said, and mended by room'} "
                          f"({time.monotonic() - start:.1f} s)")
                    if problem:
                        problems[case.what] = problem
                for what, test in OTHERS.items() if images is IMAGES else []:
                    if given.only and given.only not in what:
                        continue
                    tried += 1
                    problem = test(world)
                    print(f"  {what}: {problem or 'no harm'}")
                    if problem:
                        problems[what] = problem
    print(
        f"a disk that is full, out of inodes or read-only (F11 F12 F13 F16): {tried} cases, "
        f"{tried - len(problems)} converged; {time.monotonic() - begin:.0f} s"
    )
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
