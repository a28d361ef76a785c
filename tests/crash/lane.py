"""Owns how a long list of points is gone through: a seeded sample within a time budget, or all of it.

What a whole lane has done is remembered in the testbed's cache, for the same binary: it can be resumed.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from world import AGENT, World  # puts the testbed on the path

import cache

WORKERS = 2
TRIES = 3


@dataclasses.dataclass
class Options:
    full: bool
    seed: int
    budget: float
    workers: int
    only: str

    @property
    def random(self) -> random.Random:
        return random.Random(self.seed)


def options(what: str, budget: float, workers: int = WORKERS) -> Options:
    """The command line of a lane; as root."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--full", action="store_true", help="every point; resumed where it was ended")
    parser.add_argument("--seed", type=int, help="repeats the sample of an earlier run")
    parser.add_argument("--budget", type=float, default=budget, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=workers)
    parser.add_argument("--only", default="", metavar="CALL:NUMBER", help="one point alone")
    given = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("must be run as root, because it makes namespaces")
    sys.stdout.reconfigure(line_buffering=True)
    seed = given.seed
    if seed is None:
        # What is resumed must be the same.
        seed = 0 if given.full else random.SystemRandom().randrange(1_000_000)
    return Options(given.full, seed, given.budget, given.workers, given.only)


class Memory:
    """What a whole lane has found so far, for this binary; nothing for a sample."""

    def __init__(self, lane: str, full: bool):
        digest = hashlib.sha256(AGENT.read_bytes()).hexdigest()[:16]
        self._path = cache.root() / f"crash-{lane}-{digest}.jsonl" if full else None
        self.known: dict[str, str] = {}
        if self._path and self._path.exists():
            for line in self._path.read_text().splitlines():
                try:
                    self.known.update(json.loads(line))
                except ValueError:
                    continue  # the last line of a run that was killed

    def add(self, key: str, problem: str) -> None:
        self.known[key] = problem
        if self._path:
            with open(self._path, "a") as file:
                file.write(json.dumps({key: problem}) + "\n")


@dataclasses.dataclass
class Tally:
    points: int
    taken: int = 0
    resumed: int = 0
    unmet: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0

    @property
    def converged(self) -> int:
        return self.taken - self.unmet - len(self.problems)


def go_through(
    points: Sequence,
    attempt: Callable[[World, object], str | None],
    given: Options,
    memory: Memory,
    make: Callable[[], World] = World,
) -> Tally:
    """Attempts points in their order until all are done or the budget is spent, several side by side.

    `attempt` returns what went wrong in one sentence or more, "" if nothing did, and None if the run took
    another way and did not come by the point: then it is tried again, twice. A point has a `key`.
    """
    tally = Tally(len(points))
    begin = time.monotonic()
    waiting = list(reversed([point for point in points if point.key not in memory.known]))
    for point in points:
        if point.key in memory.known:
            tally.resumed += 1
            tally.taken += 1
            if memory.known[point.key]:
                tally.problems[point.key] = memory.known[point.key]
    tries: Counter = Counter()
    lock = threading.Lock()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            with make() as world:
                while True:
                    with lock:
                        spent = not given.full and time.monotonic() - begin > given.budget
                        if not waiting or spent or failure:
                            return
                        point = waiting.pop()
                    problem = attempt(world, point)
                    with lock:
                        tries[point.key] += 1
                        if problem is None and tries[point.key] < TRIES:
                            waiting.append(point)
                            continue
                        memory.add(point.key, problem or "")
                        tally.taken += 1
                        tally.unmet += problem is None
                        if problem:
                            tally.problems[point.key] = problem
                            print(f"  {point}: {problem}")
        except BaseException as error:  # tell the other workers, and the caller
            with lock:
                failure.append(error)

    threads = [threading.Thread(target=work) for _ in range(given.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failure:
        raise failure[0]
    tally.seconds = time.monotonic() - begin
    return tally


def report(what: str, tally: Tally) -> None:
    resumed = f" ({tally.resumed} of them earlier)" if tally.resumed else ""
    unmet = f", {tally.unmet} no run came by" if tally.unmet else ""
    print(
        f"{what}: {tally.points} points, {tally.taken} tried{resumed}, {tally.converged} converged"
        f"{unmet}; {tally.seconds:.0f} s"
    )
