#!/usr/bin/python3
"""Proves that no state of the agent's own, however it is spoilt, makes it crash, trust it or do again what is
there: on a machine that is ready, each file is replaced by each kind of nonsense, and the agent run.

It must be ready again, with nothing installed anew; what a link points to is as it was; a ledger file that
cannot be used is set aside with a word, and kept.

Covers F06, F08.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import stat
import sys
from collections.abc import Callable

import lane
from world import STEPS, Broken, Outcome, World

LONG = 90
NOBODY = 65534
CANARY = "tmp/canary"
KEPT_ASIDE = 3
INSTALLS = ("install begins", "venv: begins", "pip: begins")


def overwritten(content: bytes) -> Callable[[pathlib.Path], None]:
    return lambda path: path.write_bytes(content)


def truncated(path: pathlib.Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def newer(path: pathlib.Path) -> None:
    text = path.read_text()
    try:
        value = json.loads(text)
        value.update(version=99, schema=99)
        path.write_text(json.dumps(value))
    except ValueError:
        path.write_text("version 99\n" + text)


def huge(path: pathlib.Path) -> None:
    os.truncate(path, 1 << 30)


def given_away(path: pathlib.Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def writable(path: pathlib.Path) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o022)


def linked(path: pathlib.Path) -> None:
    path.unlink()
    path.symlink_to(f"/{CANARY}")


def dangling(path: pathlib.Path) -> None:
    path.unlink()
    path.symlink_to("/tmp/not-there")


def fifo(path: pathlib.Path) -> None:
    path.unlink()
    os.mkfifo(path)


def gone(path: pathlib.Path) -> None:
    path.unlink()


SPOILERS: dict[str, Callable[[pathlib.Path], None]] = {
    "empty": overwritten(b""),
    "truncated": truncated,
    "zeros": overwritten(b"\0" * 512),
    "garbage": overwritten(bytes(range(256)) * 4),
    "another type": overwritten(b'[{"version": "x", "attempts": -1e99, "outcome": []}]\n'),
    "deep nesting": overwritten(b"[" * 60_000),
    "a newer version's": newer,
    "1 GiB": huge,
    "another owner's": given_away,
    "writable for all": writable,
    "a link": linked,
    "a dangling link": dangling,
    "a FIFO": fifo,
    "gone": gone,
}


@dataclasses.dataclass(frozen=True)
class Kept:
    """A file that the agent keeps, and in what it may differ from the others."""

    path: str
    set_aside: bool = False
    refused: bool = False  # what is no longer known as ours is left to its owner, and said
    before: bytes | None = None  # what is there, where the agent does not write it in this world


FILES = [
    *(
        Kept(f"var/lib/agent/ledger/{step}.json", set_aside=True)
        for step in ("python_packages", "tls_certificate", "jupyter_unit")
    ),
    Kept("run/agent/status.json"),
    Kept("run/agent/machine.json"),
    Kept("run/agent/certificate.pem"),
    Kept("run/agent/guest-writes", before=b"1000000\n2000000\n"),
    Kept(
        "run/agent/hold.json",
        before=b'{"version":1,"until":"2026-01-01T00:00:00Z","until_since_boot_ms":99999999999,'
        b'"by":"root"}\n',
    ),
    Kept("run/agent/requirements.txt", before=b"numpy\n"),
    Kept("run/agent/lock", refused=True, before=b""),
    Kept("var/lib/agent/front/tls.pem"),
    Kept("var/lib/agent/front/token"),
    Kept("etc/agent/jupyter.json"),
    Kept("opt/.jupyter.agent", before=b"made by agent\n"),
    Kept("etc/systemd/system/agent-front.socket.d/10-machine.conf"),
    Kept("etc/systemd/system/agent-jupyter.service.d/10-machine.conf"),
    Kept("etc/apt/keyrings/agent-stub.asc"),
    Kept("etc/apt/sources.list.d/stub.sources", refused=True),
]


@dataclasses.dataclass(frozen=True)
class Case:
    file: Kept
    spoiler: str

    def __str__(self) -> str:
        return f"/{self.file.path} is {self.spoiler}"

    @property
    def key(self) -> str:
        return f"{self.file.path}:{self.spoiler}"


class Spoilt:
    """A machine that is ready, and is so again after each case."""

    def __init__(self, world: World):
        self._world = world
        self._make()

    def _make(self) -> None:
        self._world.reset()
        outcome = self._world.run(timeout=LONG)
        if outcome.state != "ready":
            raise AssertionError(f"the machine could not be set up: {outcome.brief()}")

    def attempt(self, case: Case) -> str:
        problem = self._attempt(case)
        if problem:
            self._make()
        return problem

    def _attempt(self, case: Case) -> str:
        world = self._world
        world.clear_log()
        canary = world.root / CANARY
        canary.write_text("as it was\n")
        path = world.root / case.file.path
        if case.file.before is not None:
            self._remove(path)
            path.write_bytes(case.file.before)
        SPOILERS[case.spoiler](path)
        unusable = case.spoiler != "gone"
        outcome = world.run(timeout=LONG)
        if case.file.refused and outcome.state != "ready":
            return self._refused(case, outcome)
        if problem := self._judge(case, outcome):
            return problem
        if canary.read_text() != "as it was\n":
            return "what the link points to was written"
        if case.file.set_aside and unusable:
            return self._set_aside(case, outcome)
        if case.file.before is not None:
            self._remove(path)
        return ""

    def _judge(self, case: Case, outcome: Outcome) -> str:
        if outcome.state != "ready" or set(outcome.steps) != set(STEPS):
            return f"it is not ready: {outcome.brief()}"
        if outcome.signal is not None or outcome.exit != 0:
            return f"it did not end as it was asked to: {outcome.brief()}"
        again = [line for line in self._world.log() if any(word in line for word in INSTALLS)]
        if again:
            return f"installed again: {again}"
        try:
            self._world.check_invariants(apart_from=case.file.path)
        except Broken as problem:
            return str(problem)
        return ""

    def _refused(self, case: Case, outcome: Outcome) -> str:
        """Named, and all it takes is to remove the file."""
        named = f"/{case.file.path}"
        if outcome.timed_out or outcome.signal is not None or named not in outcome.log:
            return f"it does not name the file that is in the way: {outcome.brief()}"
        self._remove(self._world.root / case.file.path)
        again = self._world.run(timeout=LONG)
        return "" if again.state == "ready" else f"without the file: {again.brief()}"

    def _set_aside(self, case: Case, outcome: Outcome) -> str:
        """A ledger file that cannot be used: kept beside its place, and told."""
        name = case.file.path.rpartition("/")[2]
        directory = (self._world.root / case.file.path).parent
        aside = sorted(directory.glob(f"{name}.set-aside-*"))
        if not aside:
            return f"it was believed: {outcome.brief()}"
        if name not in outcome.log or "set aside" not in outcome.log:
            return f"it was set aside without a word: {outcome.brief()}"
        for path in aside:
            self._remove(path)
        return ""

    @staticmethod
    def _remove(path: pathlib.Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def many_set_aside(world: World) -> str:
    """Of the files set aside no more are kept than KEPT_ASIDE, the newest among them."""
    directory = world.root / "var/lib/agent/ledger"
    for number in range(KEPT_ASIDE + 2):
        (directory / "python.json").write_text(f"nonsense {number}")
        if (outcome := world.run(timeout=LONG)).state != "ready":
            return outcome.brief()
    kept = [path.read_text() for path in directory.glob("python.json.set-aside-*")]
    if len(kept) != KEPT_ASIDE or f"nonsense {KEPT_ASIDE + 1}" not in kept:
        return f"kept: {kept}"
    return ""


def unreadable_directory(world: World) -> str:
    """The ledger's directory is a file: said, nothing else is lost, and mended by moving it away."""
    ledger = world.root / "var/lib/agent/ledger"
    kept = ledger.with_name("ledger-kept")
    ledger.rename(kept)
    ledger.write_text("not a directory")
    outcome = world.run(timeout=LONG)
    ledger.unlink()
    kept.rename(ledger)
    if outcome.state not in ("failed", "degraded", "ready") or not outcome.status["problem"]:
        return outcome.brief()
    if "/var/lib/agent/ledger" not in outcome.status["problem"]["message"]:
        return f"it does not say what is in the way: {outcome.status['problem']}"
    again = world.run(timeout=LONG)
    return "" if again.state == "ready" else again.brief()


def main() -> None:
    given = lane.options(__doc__.splitlines()[0], 60)
    cases = [Case(file, spoiler) for file in FILES for spoiler in SPOILERS]
    given.random.shuffle(cases)
    if given.only:
        cases = [case for case in cases if given.only in str(case)]
    print(f"spoilt state, seed {given.seed}")
    machines: dict[World, Spoilt] = {}

    def attempt(world: World, case: Case) -> str:
        if world not in machines:
            machines[world] = Spoilt(world)
        return machines[world].attempt(case)

    tally = lane.go_through(cases, attempt, given, lane.Memory("bad-state", given.full))
    others = {}
    with World() as world:
        Spoilt(world)
        for name, test in {
            "files set aside again and again": many_set_aside,
            "the ledger's directory is a file": unreadable_directory,
        }.items():
            others[name] = test(world)
            print(f"  {name}: {others[name] or 'as it should be'}")
    lane.report("a file of the agent's own is spoilt (F06, F08)", tally)
    if tally.problems or any(others.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
