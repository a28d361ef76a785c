#!/usr/bin/python3
"""Proves that a true VM whose power goes in mid-provisioning becomes ready after its next boot.

`agent run` provisions the small world (world.py) in a VM; QEMU is killed at a random moment, spread evenly
over what the agent says on the serial console; the same disk boots again and the agent runs undisturbed.
It must become ready; what its ledger had as done is as it was and is not done again; none of its files is
empty, no temporary file is left, and the file system is clean.

A kill of QEMU takes the guest's memory with it, which is what it had not yet written. It never reorders
what the guest has written without a flush: for that, see power_replay.py.

Quick: 12 cuts. --full: 100. Covers F03.
"""

import pathlib
import sys
import time
from dataclasses import dataclass

import kill
import lane
import power
from world import Broken, WorldFailed

import qemu

BUDGET = 180
QUICK, FULL = 12, 100
MARK = r"^agent: \w+: "  # a line of a step's end, on the serial console
MARKS = 11  # a step each
LONGEST_DELAY = 2.0  # seconds after the mark
RUN_LIMIT = 400
OFF_LIMIT = 60


@dataclass(frozen=True)
class Point:
    number: int
    marks: int  # so many steps have ended
    delay: float  # seconds since

    @property
    def key(self) -> str:
        return str(self.number)

    def __str__(self) -> str:
        return f"cut {self.number}, {self.delay:.2f} s after {self.marks} steps"


class Bench:
    """A place for one VM at a time, with the disk of a machine that was never set up."""

    def __init__(self, directory: pathlib.Path, untouched: pathlib.Path, usr: list[pathlib.Path]):
        self._directory = directory
        self._untouched = untouched
        self._disk = directory / "disk.img"
        self._vm = power.machine(
            f"file={self._disk},format=raw,cache=writeback", usr, directory / "serial.log", cpus=1
        )

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_) -> None:
        self._vm.kill()

    def attempt(self, point: Point) -> str:
        power.copy(self._untouched, self._disk)
        try:
            self._cut(point)
            # Looked at in a copy: the VM itself replays the journal.
            left = self._directory / "left.img"
            power.copy(self._disk, left)
            with power.mounted(left, self._directory / "mounted") as world:
                world.check_invariants(converged=False)
                before = kill.Before.of(world)
            with self._vm as vm:
                vm.start()
                again = power.outcome(vm, RUN_LIMIT)
                vm.wait(OFF_LIMIT)
            with power.mounted(self._disk, self._directory / "mounted") as world:
                problem = kill.what_is_lost(world, before, again) or power.what_is_torn(world)
            return problem or power.is_clean(self._disk)
        except (Broken, WorldFailed, qemu.VmFailed) as problem:
            return str(problem)

    def _cut(self, point: Point) -> None:
        with self._vm as vm:
            vm.start()
            vm.await_line(f"^{power.BEGUN}", RUN_LIMIT)
            if point.marks:
                # Or all has ended, where the serial line lost one.
                vm.await_line(rf"(?s)(?:{MARK}.*?){{{point.marks}}}|^{power.ENDED}", RUN_LIMIT)
            time.sleep(point.delay)


def choose(given: lane.Options) -> list[Point]:
    count = FULL if given.full else QUICK
    chance = given.random
    # Each number of steps comes as often as any other.
    marks = [number % (MARKS + 1) for number in range(count)]
    chance.shuffle(marks)
    points = [
        Point(number, mark, chance.uniform(0, LONGEST_DELAY)) for number, mark in enumerate(marks)
    ]
    return [point for point in points if given.only in ("", point.key)]


def main() -> None:
    given = lane.options(__doc__.splitlines()[0], BUDGET)
    memory = power.private_memory()
    untouched = memory / "untouched.img"
    power.make_state(untouched)
    usr = power.make_usr(memory)
    points = choose(given)
    print(f"a VM provisions itself, and its power goes {len(points)} times; seed {given.seed}")
    places = iter(range(given.workers))

    def make() -> Bench:
        directory = memory / f"bench-{next(places)}"
        directory.mkdir()
        return Bench(directory, untouched, usr)

    tally = lane.go_through(
        points,
        lambda bench, point: bench.attempt(point),
        given,
        lane.Memory(f"power-cuts-{given.seed}", given.full),
        make=make,
    )
    lane.report("power cuts in a VM (F03)", tally)
    if tally.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
