"""Owns how a number is measured and said: ours beside a peer, in turns, in one run on one machine.

    compare("status", time_of_ours, time_of_theirs, runs=20, unit="ms", goal=0.02, better="lower")
    status  ours 3.1 [2.9-4.0] ms  peer 290 [270-330] ms  ratio 0.0107 (0.0094-0.0121)  goal ≤ 0.02  met

`ours` and `peer` are called without arguments and return one number each, in `unit`. Either is called
once before it counts, then they are called in turns, so that what else the machine does meets both. The
ratio is ours to peer, pair by pair; its median is held against the goal. A goal that is missed is said
and kept in build/bench.json; it fails nothing, because a busy machine is no bug.
"""

import dataclasses
import datetime
import fcntl
import json
import os
import pathlib
import statistics
import subprocess
from collections.abc import Callable

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
RESULTS = REPOSITORY / "build" / "bench.json"
SIGNS = {"lower": "≤", "higher": "≥"}


@dataclasses.dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{_short(self.median)} [{_short(self.least)}-{_short(self.most)}]"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured. Without a peer, `peer`, `ratio` and `goal` are None; without a limit, that."""

    name: str
    unit: str
    better: str
    runs: int
    ours: Spread
    peer: Spread | None
    ratio: Spread | None
    goal: float | None
    limit: float | None

    @property
    def met(self) -> bool:
        return self._within(self.ratio, self.goal) and self._within(self.ours, self.limit)

    def __str__(self) -> str:
        sign = SIGNS[self.better]
        parts = [self.name, f"ours {self.ours} {self.unit}"]
        if self.limit is not None:
            verdict = _verdict(self._within(self.ours, self.limit))
            parts.append(f"goal {sign} {_short(self.limit)} {self.unit}  {verdict}")
        if self.peer and self.ratio:
            low, high = _short(self.ratio.least), _short(self.ratio.most)
            parts.append(f"peer {self.peer} {self.unit}")
            parts.append(f"ratio {_short(self.ratio.median)} ({low}-{high})")
            if self.goal is not None:
                verdict = _verdict(self._within(self.ratio, self.goal))
                parts.append(f"goal {sign} {_short(self.goal)}  {verdict}")
        return "  ".join(parts)

    def _within(self, found: Spread | None, goal: float | None) -> bool:
        if found is None or goal is None:
            return True
        return found.median <= goal if self.better == "lower" else found.median >= goal


def compare(
    name: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    runs: int,
    unit: str,
    goal: float | None,
    better: str = "lower",
    limit: float | None = None,
) -> Measured:
    """Measures both, prints one line, keeps it and returns it.

    goal    what the median ratio of ours to peer must not exceed (`better` = "lower") or must reach
            ("higher"); None: only said
    limit   the same for the median of ours itself, in `unit`
    """
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(runs)]
    return _told(
        Measured(
            *(name, unit, better, runs),
            ours=_spread([pair[0] for pair in pairs]),
            peer=_spread([pair[1] for pair in pairs]),
            ratio=_spread([pair[0] / pair[1] for pair in pairs]),
            goal=goal,
            limit=limit,
        )
    )


def hold(
    name: str,
    ours: Callable[[], float],
    runs: int,
    unit: str,
    limit: float,
    better: str = "lower",
) -> Measured:
    """As compare(), where nothing can stand beside it: the median of ours against a limit."""
    ours()
    found = _spread([ours() for _ in range(runs)])
    return _told(Measured(name, unit, better, runs, found, None, None, None, limit))


def _told(measured: Measured) -> Measured:
    print(measured, flush=True)
    _keep(measured)
    return measured


def _keep(measured: Measured) -> None:
    """Puts it in the place of what an earlier run found under the same name."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(RESULTS, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        found = json.loads(text) if text else {}
        found[measured.name] = {
            **dataclasses.asdict(measured),
            "met": measured.met,
            "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "cores": os.cpu_count(),
        }
        file.seek(0)
        file.truncate()
        json.dump(found, file, indent=2, ensure_ascii=False)
        file.write("\n")


def _commit() -> str:
    """The commit that is checked out, with a + when files differ from it."""
    described = subprocess.run(
        ["git", "-c", f"safe.directory={REPOSITORY}", "describe", "--always", "--dirty=+"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or "unknown"


def _spread(found: list[float]) -> Spread:
    return Spread(statistics.median(found), min(found), max(found))


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def _short(number: float) -> str:
    """Three significant digits, and no more digits than that needs: 0.0107, 3.1, 48.2, 1250."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"
