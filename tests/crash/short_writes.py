#!/usr/bin/python3
"""Proves that writes which take only a part of what they are given change nothing: a machine's first run, and
one that replaces files in use, with every write to a file cut to half of it, and to one byte.

The kernel itself does the short write: this program traces the agent and lowers the length before the call.
Each run must be ready, say of every step what an undisturbed run says, and leave the same files; the next run
finds nothing to do.

Covers F15.
"""

import ctypes
import os
import pathlib
import re
import signal
import stat
import sys
import tempfile
import time

import lane
from errors import CHANGED, REPLACED
from world import CONFIG, Broken, Outcome, World

LONG = 90
BYTE_BY_BYTE_UNTIL = 8192  # a longer write is halved until it is no longer than this
CUTS = {
    "half of it": lambda length: (length + 1) // 2,
    "one byte": lambda length: 1 if length <= BYTE_BY_BYTE_UNTIL else length // 2,
}
TOLD = re.compile(r"(\d+) writes, (\d+) cut short")

# <sys/ptrace.h>, <asm/unistd_64.h>
_TRACEME, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS = 0, 12, 13, 24, 0x4200
_SYSGOOD, _TRACECLONE, _EXITKILL = 0x1, 0x8, 0x100000
_WRITE, _PWRITE64, _WRITEV = 1, 18, 20
_STOPPED_BY_CALL = signal.SIGTRAP | 0x80
_ALL_CHILDREN = 0x40000000  # __WALL: threads as well


class _Registers(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
            "fs_base gs_base ds es fs gs"
        ).split()
    ]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data=None) -> None:
    if _libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), "ptrace")


def _is_file(pid: int, descriptor: int) -> bool:
    """A file on a disk or in memory: what is written to /proc has a meaning as a whole."""
    link = f"/proc/{pid}/fd/{descriptor}"
    try:
        where = os.readlink(link)
        return stat.S_ISREG(os.stat(link).st_mode) and not where.startswith(("/proc/", "/sys/"))
    except OSError:
        return False


def trace(cut: str, account: str, command: list[str]) -> int:
    """Executes the command with its writes cut short, and tells in the file `account` how many there were.

    What it starts is left alone. A signal that this program gets is handed on.
    """
    child = os.fork()
    if child == 0:
        _ptrace(_TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execvp(command[0], command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    os.waitpid(child, 0)
    _ptrace(_SETOPTIONS, child, _SYSGOOD | _TRACECLONE | _EXITKILL)
    _ptrace(_SYSCALL, child)
    inside: set[int] = set()
    writes = shortened = 0
    registers = _Registers()
    while True:
        pid, status = os.waitpid(-1, _ALL_CHILDREN)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if pid != child:
                continue
            pathlib.Path(account).write_text(f"{writes} writes, {shortened} cut short\n")
            return os.waitstatus_to_exitcode(status)
        handed_on = 0
        stopped_by = os.WSTOPSIG(status)
        if stopped_by == _STOPPED_BY_CALL:
            if pid in inside:
                inside.discard(pid)
            else:
                inside.add(pid)
                _ptrace(_GETREGS, pid, ctypes.byref(registers))
                call, descriptor, length = registers.orig_rax, registers.rdi, registers.rdx
                if call in (_WRITE, _PWRITE64, _WRITEV) and _is_file(pid, descriptor):
                    writes += 1
                    # Of a vector, the first part.
                    less = min(1, length) if call == _WRITEV else CUTS[cut](length) if length else 0
                    if less != length:
                        shortened += 1
                        registers.rdx = less
                        _ptrace(_SETREGS, pid, ctypes.byref(registers))
        elif stopped_by not in (signal.SIGTRAP, signal.SIGSTOP):
            handed_on = stopped_by
        _ptrace(_SYSCALL, pid, handed_on)


def content(world: World) -> dict[str, bytes]:
    """Without what is secret and made anew in every new machine."""
    secret = re.compile(rb'"token":\s*"[^"]*"')
    return {
        path: secret.sub(b"", (world.root / path).read_bytes())
        for path in REPLACED
        if path.startswith("etc/")
    }


class Failed(Exception):
    pass


def demand_ready(what: str, outcome: Outcome) -> None:
    if outcome.state != "ready":
        raise Failed(f"{what} is not ready: {outcome.brief()}")


def cut_run(world: World, cut: str) -> tuple[Outcome, int, int]:
    tracer = ["/usr/bin/python3", str(pathlib.Path(__file__).resolve())]
    with tempfile.NamedTemporaryFile("r", prefix="agent-trace-") as account:
        outcome = world.run([*tracer, "--trace", cut, account.name], timeout=LONG)
        demand_ready(f"a run with its writes cut to {cut}", outcome)
        writes, shortened = map(int, TOLD.match(account.read()).groups())
    if shortened < 100:
        raise Failed(f"only {shortened} of {writes} writes were cut to {cut}")
    return outcome, writes, shortened


def attempt(world: World, cut: str) -> str:
    """What was cut in the two runs; Failed or Broken where it did harm."""
    said = []
    world.set_config(CONFIG)
    for reset, config in ((True, CONFIG), (False, CHANGED)):
        # An undisturbed one first, for what it says and leaves.
        if reset:
            world.reset()
        world.set_config(config)
        plain = world.run(timeout=LONG)
        demand_ready("an undisturbed run", plain)
        files = content(world)
        if reset:
            world.reset()
        else:
            world.set_config(CONFIG)
            demand_ready("the way back", world.run(timeout=LONG))
            world.set_config(config)
        outcome, writes, shortened = cut_run(world, cut)
        if outcome.steps != plain.steps:
            raise Failed(f"its steps end otherwise: {outcome.steps} instead of {plain.steps}")
        if content(world) != files:
            differing = [path for path in files if files[path] != content(world)[path]]
            raise Failed(f"these files are not as an undisturbed run leaves them: {differing}")
        world.check_invariants()
        again = world.run(timeout=LONG)
        due = [step for step, state in again.steps.items() if state not in ("satisfied", "skipped")]
        if again.state != "ready" or due:
            raise Failed(f"the next run finds work in {due}: {again.brief()}")
        said.append(f"{shortened} of {writes}")
    return " and ".join(said)


def main() -> None:
    if sys.argv[1:2] == ["--trace"]:
        sys.exit(trace(sys.argv[2], sys.argv[3], sys.argv[4:]))
    lane.options(__doc__.splitlines()[0], 0)
    begin = time.monotonic()
    problems = 0
    with World() as world:
        for cut in CUTS:
            try:
                print(f"  every write cut to {cut}: {attempt(world, cut)} writes, no harm")
            except (Broken, Failed) as problem:
                problems += 1
                print(f"  every write cut to {cut}: {problem}")
    print(f"writes that are cut short (F15): {2 * len(CUTS)} runs, {time.monotonic() - begin:.0f} s")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
