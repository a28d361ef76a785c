"""Owns the points of a run: what strace said of it, as calls that can be counted and disturbed again.

strace counts `when=N` for each process and each name of a call, so a point is (name, N). It counts from
the exec of its own command, chroot, whose calls come before the agent's first.
"""

import dataclasses
import pathlib
import re
from collections import Counter

CALL = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)$")
OPENED_FOR_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
# A descriptor that is a file, and neither the log nor a device nor one of /proc.
OF_A_FILE = re.compile(r"^\d+</(?!dev/|proc/|stub/)")
ALWAYS_CHANGE = re.compile(
    r"^(f?sync|fdatasync|rename\w*|link\w*|symlink\w*|unlink\w*|mkdir\w*|rmdir|mknod\w*|f?chmod\w*"
    r"|f?chown\w*|lchown|f?truncate|bind|execve|v?fork|clone\w*)$"
)


@dataclasses.dataclass(frozen=True)
class Point:
    call: str
    number: int
    arguments: str = dataclasses.field(compare=False)
    changes: bool = dataclasses.field(compare=False)  # the machine's state, or what runs on it
    writes: bool = dataclasses.field(compare=False)  # to a file: open for writing, write, fsync …

    def __str__(self) -> str:
        return f"{self.call} #{self.number} ({self.arguments[:90]})"

    @property
    def key(self) -> str:
        return f"{self.call}:{self.number}"


def in_trace(trace: pathlib.Path) -> list[Point]:
    """The agent's own calls in a trace without -f; strace was given -y."""
    counts: Counter = Counter()
    found: list[Point] = []
    agent = False
    for line in trace.read_text(errors="replace").splitlines():
        match = CALL.match(line)
        if not match:
            continue
        _, call, arguments = match.groups()
        counts[call] += 1
        agent = agent or (call == "execve" and '"/usr/local/bin/agent"' in arguments)
        if agent:
            writes = _writes(call, arguments)
            changes = writes or bool(ALWAYS_CHANGE.match(call))
            found.append(Point(call, counts[call], arguments, changes, writes))
    return found


def is_write(line: str) -> bool:
    """Whether a line of a trace is a call of the kind whose points have `writes`."""
    match = CALL.match(line)
    return bool(match) and _writes(match[2], match[3])


def _writes(call: str, arguments: str) -> bool:
    if call in ("open", "openat", "creat"):
        return bool(OPENED_FOR_WRITING.search(arguments)) and not re.search(
            r'"/(dev|proc)/', arguments
        )
    if call in ("write", "pwrite64", "writev", "fsync", "fdatasync", "fchmod", "fchown"):
        return bool(OF_A_FILE.match(arguments))
    return bool(re.match(r"^(rename|link|mkdir|symlink)", call))
