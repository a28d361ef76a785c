#!/usr/bin/python3
"""Measures what the engine costs by itself: runs that find every step satisfied, from 10 to 10,000.

The peer is make, with as many targets that need each other in the same way and are all up to date:
also a graph of states with one look at a file for each. As root or not: tests/bench/engine.py
"""

import functools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import measure

sys.path[:0] = [str(measure.REPOSITORY / "tests" / "testbed")]
import build  # noqa: E402

SHIPPED = "release-static"
SIZES = [10, 100, 1_000, 10_000]
SMALLEST_OF_MAKE = 1000  # fewer targets are lost in make's own start
RUNS = 5
LIMIT = 50  # microseconds


def main() -> int:
    build.configure(SHIPPED, print, with_tests=False)
    build.compile(SHIPPED, print, ("engine_bench",))
    program = build.directory(SHIPPED) / "tests/bench/engine_bench"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        directory = pathlib.Path(made)
        for size in SIZES:
            name = f"engine: one of {size} satisfied steps"
            ours = functools.partial(engine_cost, program, directory, size)
            if size < SMALLEST_OF_MAKE:
                measure.hold(name, ours, runs=RUNS, unit="µs", limit=LIMIT)
                continue
            peer = functools.partial(make_cost, write_makefile(directory / f"make-{size}", size), size)
            measure.compare(name, ours, peer, runs=RUNS, unit="µs", goal=None, limit=LIMIT)
        measure.hold(
            f"engine: one of {SIZES[-1]} steps, in those of {SIZES[1]}",
            lambda: engine_cost(program, directory, SIZES[-1])
            / engine_cost(program, directory, SIZES[1]),
            runs=RUNS,
            unit="times",
            limit=1.5,
        )
    return 0


def engine_cost(program: pathlib.Path, directory: pathlib.Path, size: int) -> float:
    """Of a satisfied step, in microseconds, without its own check()."""
    command = [str(program), str(directory / "engine"), str(size)]
    (directory / "engine").mkdir(exist_ok=True)
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return (found["run_us"] - found["check_us"]) / size


def write_makefile(directory: pathlib.Path, size: int) -> pathlib.Path:
    chance = random.Random(size)
    directory.mkdir()
    rules = ["all: " + " ".join(f"step{i}" for i in range(size)), ".PHONY: all"]
    for i in range(size):
        needs = sorted({f"step{chance.randrange(i)}" for _ in range(3)}) if i else []
        rules.append(f"step{i}: {' '.join(needs)}\n\ttouch $@")
        (directory / f"step{i}").touch()
    (directory / "Makefile").write_text("\n".join(rules) + "\n")
    subprocess.run(["make", "-s", "-C", str(directory)], check=True, capture_output=True)
    return directory


def make_cost(directory: pathlib.Path, size: int) -> float:
    """Of an up-to-date target, in microseconds; make's own start, a millisecond or two, is in it."""
    begin = time.perf_counter()
    subprocess.run(["make", "-s", "-C", str(directory)], check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1e6 / size


if __name__ == "__main__":
    sys.exit(main())
