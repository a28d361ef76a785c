#!/usr/bin/python3
"""Proves that a power cut at any moment of a whole provisioning loses nothing that was durable.

`agent run` provisions the small world (world.py) in a true VM, whose disk is recorded write by write and
flush by flush (block_log.py). From the record come the disks that a power cut could have left: after every
flush, and with any part of what was written since, down to single blocks. Each is mounted here (the file
system replays its journal), and the agent runs on it, after a reboot. It must become ready; what its
ledger has as done is as it was and is not done again; none of its files is empty, no temporary file is
left, and the file system is clean.

Quick: every flush, and a seeded sample of the other cuts. --full: every flush, and many cuts of each.
Covers F03.
"""

import pathlib
import sys
import time
from dataclasses import dataclass

import lane
import power
from block_log import BlockLog, Cut, Disks
from world import WorldFailed

import cache

BUDGET = 240
WORKERS = 3
QUICK = 600
CUTS_EACH = 8  # of every kind between two flushes
ROUND = 40  # cuts that are made one after the other: a record is replayed forwards
RUN_LIMIT = 400
LOG_ROOM = 1 << 30


@dataclass(frozen=True)
class Point:
    cut: Cut

    @property
    def key(self) -> str:
        return str(self.cut)

    def __str__(self) -> str:
        return f"cut {self.cut}"


def record(directory: pathlib.Path) -> None:
    """Provisions the small world in a VM; `directory` then has its disk as it was before, and the log."""
    power.make_state(directory / "untouched.img")
    disk, log = directory / "disk.img", directory / "log.img"
    power.copy(directory / "untouched.img", disk)
    with open(log, "wb") as file:
        file.truncate(LOG_ROOM)
    recorder = (
        f"driver=blklogwrites,file.driver=file,file.filename={disk},file.cache.no-flush=on,"
        f"log.driver=file,log.filename={log},log.cache.no-flush=on"
    )
    with power.machine(recorder, power.make_usr(directory), directory / "serial.log") as vm:
        outcome = power.outcome(vm, RUN_LIMIT)
        if outcome.state != "ready":
            raise WorldFailed(f"the VM was not provisioned: {outcome.brief()}")
        vm.wait(60)
    disk.unlink()


def recorded(seed: int) -> pathlib.Path:
    """The record of this binary and seed; made now unless it was before: no two are quite alike."""
    cache.forget("power-record-*", unused_days=2)
    return cache.entry(f"power-record-{power.binary()}-{seed}", record)


class Replay(power.DiskWorld):
    """A small world for the disks of a record."""

    def __init__(self, directory: pathlib.Path, log: BlockLog, seed: int):
        super().__init__()
        self._disks = Disks(directory / "untouched.img", log, seed)

    def attempt(self, cut: Cut) -> str:
        self.eject()
        self._disks.make(cut, self.disk)
        try:
            self.insert()
        except WorldFailed as failure:
            return str(failure)
        problem = power.converges(self)
        self.eject()
        return problem or power.is_clean(self.disk)


def choose(log: BlockLog, given: lane.Options) -> tuple[list[Point], int]:
    """The cuts in the order in which they are taken, and how many there are."""
    flushes, others = log.flush_cuts(), log.other_cuts(CUTS_EACH)
    everything = len(flushes) + len(others)
    if given.only:
        chosen = [Cut.parse(given.only)]
    elif given.full:
        chosen = [*flushes, *others]
    else:
        room = max(0, QUICK - len(flushes))
        chosen = [*flushes, *given.random.sample(others, min(room, len(others)))]
        given.random.shuffle(chosen)
    rounds = [chosen[at : at + ROUND] for at in range(0, len(chosen), ROUND)]
    ordered = [cut for part in rounds for cut in sorted(part, key=lambda cut: cut.flush)]
    return [Point(cut) for cut in ordered], everything


def main() -> None:
    given = lane.options(__doc__.splitlines()[0], BUDGET, WORKERS)
    begin = time.monotonic()
    directory = recorded(given.seed)
    log = BlockLog(directory / "log.img")
    flushes = len(log.flush_cuts())
    print(
        f"a whole provisioning, recorded in {time.monotonic() - begin:.0f} s: {log.writes} writes, "
        f"{log.bytes >> 10} KiB, {flushes} disks that a flush left; seed {given.seed}"
    )
    points, everything = choose(log, given)
    tally = lane.go_through(
        points,
        lambda world, point: world.attempt(point.cut),
        given,
        lane.Memory(f"power-replay-{given.seed}", given.full),
        make=lambda: Replay(directory, log, given.seed),
    )
    resumed = f", {tally.resumed} of them earlier" if tally.resumed else ""
    print(
        f"power cuts, replayed (F03): {everything} points, {tally.taken} tried{resumed}, "
        f"{tally.converged} converged, in {tally.seconds:.0f} s"
    )
    if tally.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
