#!/usr/bin/python3
"""Proves that a disk's error at any call of a run is survived: said plainly, nothing half written, mended by
the next run.

One call fails with one error, in two runs: the first of a bare machine, and the one after a change of the
configuration, which replaces files that are in use. The run must settle: as ready where the error does no
harm, else as failed with the step or the path, the error's own words and what to do next. Whatever happened,
no temporary or empty file is left, a replaced file is the old one or the new one, and the next run, without
the error, is ready. An interrupted call (EINTR) must change nothing at all.

Quick: a seeded sample of all (call, error) within its time. --full: all of them.
Covers F11, F14, F15.
"""

import dataclasses
import errno
import os
import pathlib
import re
import sys
import tempfile

import lane
import points
from points import Point
from world import CONFIG, STEPS, Broken, Outcome, World, WorldFailed

BUDGET = 110
BUDGET_OF_CHANGES = 40
LONG = 90  # seconds for what takes one on an idle machine
ERRORS = {
    "openat": ["ENOSPC", "EROFS", "EIO"],
    "write": ["ENOSPC", "EIO", "EINTR"],
    "fsync": ["EIO", "ENOSPC"],
    "rename": ["ENOSPC", "EIO", "EROFS"],
    "mkdir": ["ENOSPC", "EROFS"],
    "fchmod": ["EROFS", "EIO"],
    "fchown": ["EROFS", "EIO"],
}
# In the other configuration Jupyter works elsewhere: its file is replaced and it is restarted.
CHANGED = CONFIG.replace('directory = "work"', 'directory = "play"')
REPLACED = [
    "etc/agent/jupyter.json",
    "etc/systemd/system/agent-front.socket.d/10-machine.conf",
    "etc/systemd/system/agent-jupyter.service.d/10-machine.conf",
    "var/lib/agent/front/tls.pem",
    "var/lib/agent/front/token",
]


@dataclasses.dataclass(frozen=True)
class Fault:
    point: Point
    error: str

    def __str__(self) -> str:
        return f"{self.error} of {self.point}"

    @property
    def key(self) -> str:
        return f"{self.point.key}:{self.error}"


def faults(found: list[Point]) -> list[Fault]:
    return [
        Fault(point, error)
        for point in found
        if point.writes
        for error in ERRORS.get(point.call, [])
    ]


def disturbed(world: World, fault: Fault) -> tuple[Outcome, str | None]:
    """The run with the fault in it, and the call that it hit, as strace saw it.

    None: it hit another kind of call, for the steps' order is not always the same. Such a run is not
    judged: a pipe does not say that the disk is full.
    """
    with tempfile.NamedTemporaryFile(prefix="agent-trace-") as file:
        inject = f"inject={fault.point.call}:error={fault.error}:when={fault.point.number}"
        tracer = ["strace", "-qq", "-y", "-o", file.name, "-e", f"trace={fault.point.call}"]
        outcome = world.run([*tracer, "-e", inject], timeout=LONG)
        lines = pathlib.Path(file.name).read_text(errors="replace").splitlines()
        hit = [line for line in lines if "(INJECTED)" in line]
        return outcome, hit[0] if hit and points.is_write(hit[0]) else None


def says_enough(outcome: Outcome, error: str) -> str:
    """What is missing in how the run ended, "" if nothing is."""
    if outcome.timed_out:
        return f"it never settled: {outcome.brief()}"
    if outcome.settled_after is None:
        # Before it could publish anything: what it says on standard error is for the journal.
        plain = outcome.signal is None and outcome.exit and re.search(r"/\w+", outcome.log)
        return "" if plain else f"it died without a word: {outcome.brief()}"
    if outcome.state == "ready":
        return ""
    problem = outcome.status["problem"]
    if not problem:
        return f"{outcome.state} without a problem: {outcome.brief()}"
    words = os.strerror(getattr(errno, error))
    if words not in problem["message"]:
        return f"the problem does not say `{words}`: {problem}"
    if "/" not in problem["message"] or not problem["next"]:
        return f"the problem lacks its path or what to do next: {problem}"
    return ""


def attempt(world: World, fault: Fault) -> str | None:
    world.reset()
    world.clear_log()
    outcome, hit = disturbed(world, fault)
    if hit is None:
        return None
    if problem := says_enough(outcome, fault.error):
        return f"{problem} (hit: {hit})"
    if fault.error == "EINTR" and outcome.state != "ready":
        return f"an interrupted call did harm: {outcome.brief()} (hit: {hit})"
    try:
        world.check_invariants()
        again = world.run(timeout=LONG)
        if again.state != "ready" or set(again.steps) != set(STEPS):
            return f"the next run does not converge: {again.brief()} (hit: {hit})"
        world.check_invariants()
    except Broken as problem:
        return f"{problem} (hit: {hit})"
    return ""


class Changing:
    """A world that is set up, and whose configuration turns from the one to the other and back."""

    def __init__(self, world: World):
        self._world = world
        self._known: dict[str, dict[str, bytes]] = {}
        self._begin()

    def _begin(self) -> None:
        """Learns both; what cannot be read (a token) may have been made anew."""
        self._converge(CHANGED)
        self._converge(CONFIG)
        self._next = CHANGED

    def _converge(self, config: str) -> None:
        self._world.set_config(config)
        outcome = self._world.run(timeout=LONG)
        if outcome.state != "ready":
            raise WorldFailed(f"an undisturbed run is not ready: {outcome.brief()}")
        self._known[config] = self._content()

    def _content(self) -> dict[str, bytes]:
        return {path: (self._world.root / path).read_bytes() for path in REPLACED}

    def attempt(self, fault: Fault) -> str | None:
        config, self._next = self._next, CONFIG if self._next == CHANGED else CHANGED
        self._world.set_config(config)
        outcome, hit = disturbed(self._world, fault)
        if hit is None:
            self._begin()
            return None
        problem = says_enough(outcome, fault.error)
        if not problem:
            wanted = [known for known in self._known.values()]
            torn = [
                path
                for path, content in self._content().items()
                if content not in [known[path] for known in wanted]
            ]
            problem = f"neither old nor new: {torn}" if torn else ""
        try:
            self._world.check_invariants()
            again = self._world.run(timeout=LONG)
            if not problem and again.state != "ready":
                problem = f"the next run does not converge: {again.brief()}"
            elif not problem and self._content() != self._known[config]:
                problem = "the next run is ready, and yet the files are others"
            self._world.check_invariants()
        except Broken as broken:
            problem = problem or str(broken)
        if problem:
            self._begin()
        return f"{problem} (hit: {hit})" if problem else ""


def baseline(world: World) -> list[Point]:
    with tempfile.NamedTemporaryFile(prefix="agent-trace-") as file:
        outcome = world.run(["strace", "-y", "-s", "128", "-o", file.name], timeout=LONG)
        if outcome.state != "ready":
            raise WorldFailed(f"the undisturbed run is not ready: {outcome.brief()}")
        return points.in_trace(pathlib.Path(file.name))


def baseline_of_change(world: World) -> list[Point]:
    Changing(world)
    world.set_config(CHANGED)
    return baseline(world)


def main() -> None:
    given = lane.options(__doc__.splitlines()[0], BUDGET, workers=3)
    with World() as world:
        first = faults(baseline(world))
        change = faults(baseline_of_change(world))
    for chosen in (first, change):
        if given.only:
            chosen[:] = [fault for fault in chosen if fault.key == given.only]
        elif not given.full:
            given.random.shuffle(chosen)
    print(f"errors of a disk, seed {given.seed}")
    tally = lane.go_through(first, attempt, given, lane.Memory("errors", given.full))
    changing: dict[World, Changing] = {}

    def attempt_change(world: World, fault: Fault) -> str:
        if world not in changing:
            changing[world] = Changing(world)
        return changing[world].attempt(fault)

    of_change = lane.go_through(
        change,
        attempt_change,
        dataclasses.replace(given, budget=min(given.budget, BUDGET_OF_CHANGES)),
        lane.Memory("errors-change", given.full),
    )
    lane.report("an error in a machine's first run (F11, F14, F15)", tally)
    lane.report("an error while files are replaced (F11, F14, F15)", of_change)
    if tally.problems or of_change.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
