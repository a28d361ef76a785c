#!/usr/bin/python3
"""Proves that a kill at any call of a whole run loses nothing: the next run converges.

The run is that of world.py: every step, from a bare machine to Jupyter answering through the front. At each
point the agent is killed as it enters that call, and then run again, undisturbed. It must become ready;
what the ledger called done must be left as it is, what a program had finished must not be asked of it
again, the certificate and the token stay; no temporary file is left.

Also killed are the programs that it starts, at what they do to files; and the agent alone while a program
that one of them has started is still at work: then two installers must not work side by side.

Quick: every call that changes the machine, and a tenth of the others, as far as the time goes. --full: every
call. The steps run side by side, so the N-th write of one run need not be that of another: what is counted
is how many different points were tried. Covers F01, F02, F34.
"""

import dataclasses
import re
import sys
import tempfile
import pathlib

import lane
import points
from points import Point
from world import STEPS, Broken, Outcome, World, WorldFailed

BUDGET = 170
CHILDREN_BUDGET = 45
CHILDREN_QUICK = 40
TENTH = 10
LONG = 90  # seconds for what takes one on an idle machine
# Files that only programs which the agent starts touch, and what they do to them.
OF_CHILDREN = re.compile(r"^/(etc/(passwd|shadow|group|gshadow|subuid|subgid)[+-]?|home/jupyter.*"
                         r"|var/lib/stub-dpkg/.*|opt/jupyter/.*)$")
CALLS_OF_CHILDREN = re.compile(r"(openat|p?write|ftruncate|rename|fsync|link|unlink|mkdir|f?chown|f?chmod)")
DONE = re.compile(r"^(apt-get: install|pip:|venv:) (?:done|begins) ?(.*)$")

# While it is there, what the step's program wrote need not be on the disk: it is asked again.
WORK_MARK = ".jupyter.agent-*"
MARKED = {"python": "venv", "python_packages": "pip"}


@dataclasses.dataclass(frozen=True)
class ChildPoint:
    """The number-th time that a child does this to this file."""

    call: str
    number: int
    path: str

    def __str__(self) -> str:
        return f"a child's {self.call} #{self.number} of {self.path}"

    @property
    def key(self) -> str:
        return f"child:{self.call}:{self.number}:{self.path}"


@dataclasses.dataclass
class Before:
    """What the killed run has left for good."""

    done: set[str]
    identity: dict[str, bytes]
    finished: set[str]

    @staticmethod
    def of(world: World) -> "Before":
        done = {step for step, entry in world.ledger().items() if entry["outcome"] == "done"}
        unsynced = {mark.name.partition(".agent-")[2] for mark in (world.root / "opt").glob(WORK_MARK)}
        programs = {MARKED[step] for step in unsynced & set(MARKED)}
        durable = {what for what in finished(world, "done") if what.split(":")[0] not in programs}
        return Before(done, identity(world), durable)


def identity(world: World) -> dict[str, bytes]:
    files = ("tls.pem", "token")
    paths = {name: world.root / "var/lib/agent/front" / name for name in files}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def finished(world: World, word: str) -> set[str]:
    """What programs said that they had done, or had begun: `apt-get: install nano`."""
    said = set()
    for line in world.log():
        if (found := DONE.match(line)) and f" {word}" in line:
            said |= {f"{found[1]} {what}" for what in found[2].split()}
    return said


def kill_at(point: Point) -> list[str]:
    # Without -f: the agent alone is counted and killed.
    inject = f"inject={point.call}:signal=KILL:when={point.number}"
    return ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject]


def attempt(world: World, point: Point) -> str:
    world.reset()
    world.clear_log()
    killed = world.run(kill_at(point), timeout=LONG)
    if killed.timed_out or (killed.signal != 9 and killed.settled_after is None):
        return f"the run that was to be killed ended otherwise: {killed.brief()}"
    return converges(world)


def converges(world: World) -> str:
    """What is wrong with the next run; "" if nothing is."""
    try:
        world.check_invariants(converged=False)
        before = Before.of(world)
        world.clear_log()
        return what_is_lost(world, before, world.run(timeout=LONG))
    except Broken as problem:
        return str(problem)


def what_is_lost(world: World, before: Before, again: Outcome) -> str:
    """What of `before` the run `again` has not found or not kept; Broken as well."""
    if again.state != "ready" or set(again.steps) != set(STEPS):
        return f"the next run does not converge: {again.brief()}"
    repeated = {step for step in before.done if again.steps[step] != "satisfied"}
    if repeated:
        return f"done again though the ledger has them as done: {sorted(repeated)}"
    twice = before.finished & finished(world, "begins")
    if twice:
        return f"asked for again though it was finished: {sorted(twice)}"
    after = identity(world)
    changed = [name for name, content in before.identity.items() if after[name] != content]
    if changed:
        return f"made anew though it was there: {changed}"
    world.check_invariants()
    return ""


def attempt_child(world: World, point: ChildPoint) -> str:
    world.reset()
    world.clear_log()
    inject = f"inject={point.call}:signal=KILL:when={point.number}"
    tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", f"{world.inside}{point.path}"]
    disturbed = world.run([*tracer, "-e", inject], timeout=LONG)
    if disturbed.timed_out or disturbed.signal is not None:
        return f"the agent did not survive it: {disturbed.brief()}"
    return converges(world)


def attempt_orphan(world: World) -> str:
    """The agent is killed while dpkg, a grandchild, is at work, and started again at once."""
    world.reset()
    world.clear_log()
    (world.root / "stub/slow").write_text("0.4\n")
    killed = world.run(kill_at="install begins", timeout=LONG)
    if killed.signal != 9:
        return f"it was not killed: {killed.brief()}"
    again = world.run(timeout=LONG)
    (world.root / "stub/slow").unlink()
    beside = [line for line in world.log() if "second installer" in line]
    if beside:
        return f"a second installer was started beside the first: {beside}"
    return "" if again.state == "ready" else f"the next run does not converge: {again.brief()}"


def baseline(world: World) -> list[Point]:
    with tempfile.NamedTemporaryFile(prefix="agent-trace-") as file:
        outcome = world.run(["strace", "-y", "-s", "128", "-o", file.name], timeout=LONG)
        if outcome.state != "ready":
            raise WorldFailed(f"the undisturbed run is not ready: {outcome.brief()}")
        return points.in_trace(pathlib.Path(file.name))


def children_baseline(world: World) -> list[ChildPoint]:
    world.reset()
    with tempfile.NamedTemporaryFile(prefix="agent-trace-") as file:
        outcome = world.run(
            ["strace", "-f", "-y", "-s", "256", "-o", file.name, "-e", "trace=%file,%desc"],
            timeout=LONG,
        )
        if outcome.state != "ready":
            raise WorldFailed(f"the traced run is not ready: {outcome.brief()}")
        counts: dict[tuple, int] = {}
        found = set()
        for line in pathlib.Path(file.name).read_text(errors="replace").splitlines():
            match = points.CALL.match(line)
            if not match or not CALLS_OF_CHILDREN.match(match[2]):
                continue
            process, call, arguments = match.groups()
            opened = re.findall(rf"<{re.escape(world.inside)}(/[^>]*)>", arguments)
            for path in {*re.findall(r'"(/[^"\\]*)"', arguments), *opened}:
                if OF_CHILDREN.match(path):
                    number = counts[process, call, path] = counts.get((process, call, path), 0) + 1
                    found.add(ChildPoint(call, number, path))
        return sorted(found, key=lambda point: point.key)


def main() -> None:
    given = lane.options(__doc__.splitlines()[0], BUDGET, workers=3)
    with World() as world:
        everything = baseline(world)
        children = children_baseline(world)
        orphan = attempt_orphan(world)
    changing = [point for point in everything if point.changes]
    others = [point for point in everything if not point.changes]
    shuffle = given.random.shuffle
    if given.only:
        chosen = [point for point in everything if point.key == given.only]
        children = [point for point in children if point.key == given.only]
    elif given.full:
        chosen = everything
    else:
        tenth = given.random.sample(others, len(others) // TENTH)
        shuffle(changing)
        shuffle(children)
        chosen = [*changing, *tenth]
        children = children[:CHILDREN_QUICK]
    print(
        f"a whole run: {len(everything)} calls of the agent's own, {len(changing)} of them change "
        f"something; seed {given.seed}"
    )
    tally = lane.go_through(chosen, attempt, given, lane.Memory("kill", given.full))
    of_children = lane.go_through(
        children,
        attempt_child,
        dataclasses.replace(given, budget=CHILDREN_BUDGET),
        lane.Memory("kill-children", given.full),
    )
    lane.report("killed at a call (F01)", tally)
    lane.report("a child killed at a call (F34)", of_children)
    print(f"killed while an installer's child goes on (F02): {orphan or 'converged'}")
    if tally.problems or of_children.problems or orphan:
        sys.exit(1)


if __name__ == "__main__":
    main()
