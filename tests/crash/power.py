"""Owns the small world's disk: in a true VM that provisions it, and afterwards in the small world here.

    run(disk, …)        a VM boots on the disk, `agent run` until it has settled; see world.py
    with DiskWorld() as world:
        (fill world.disk)
        world.insert()                              mounted, as a boot does it, and just booted
        converges(world)

The disk is the machine's root: its state, and where everything else is mounted. /usr is a disk of its
own that is never written to.
"""

import contextlib
import ctypes
import hashlib
import json
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator

import kill
from world import AGENT, FIRST_DIRECTORIES, LINKS, Outcome, World, WorldFailed, make_layer

import cache
import qemu
import tree

CLONE_NEWNS = 0x00020000  # sched.h
STATE = ("etc", "home", "opt", "root", "var")
# The step disk_space asks for some 450 MB of room.
DISK_SIZE = "1G"
DISK_OPTIONS = ["-J", "size=4"]
_ORDERS = [
    {"do": "boot"},
    {"do": "run", "tracer": [], "timeout": 600, "stop": "term", "kill_at": ""},
]
BEGUN = "THE RUN BEGINS"
ENDED = "THE RUN HAS ENDED"

_FIRST = f"""
ip link set lo up
ip address add 169.254.169.254/32 dev lo
hostname vm-1
mkdir /usr-below /usr-above /disk
mount -t ext4 -o ro,noload /dev/vdb /usr-below
mount -t ext4 -o ro,noload /dev/vdc /usr-above
mount -t ext4 /dev/vda /disk || {{ echo THE DISK CANNOT BE MOUNTED; poweroff -f; }}
cd /disk
mount -t overlay -o lowerdir=/usr-above:/usr-below usr usr
for directory in run stub; do mount -t tmpfs -o size=64M,mode=755 $directory $directory; done
mount -t tmpfs -o size=64M,mode=1777 tmp tmp
mount --move /proc proc
mount --move /dev dev
cat > stub/orders <<'END'
{chr(10).join(map(json.dumps, _ORDERS))}
END
cat > stub/start <<'END'
export PATH=/usr/sbin:/usr/bin
echo {BEGUN}
unshare --mount --pid --fork --mount-proc /usr/bin/python3.11 -S /usr/lib/crash/init.py / \
    /usr/lib/crash/metadata.json < /stub/orders > /stub/told 2> /stub/problems
tail -n 1 /stub/told
cat /stub/problems
sync
echo {ENDED}
stty -echo <&1  # said to its end: the kernel has a word of its own next
echo o > /proc/sysrq-trigger
sleep 60
END
exec switch_root /disk /bin/sh /stub/start
"""


def binary() -> str:
    """What tells one build of the agent from another."""
    return hashlib.sha256(AGENT.read_bytes()).hexdigest()[:16]


def make_state(path: pathlib.Path) -> None:
    """The disk of a machine that was never set up."""
    with tempfile.TemporaryDirectory(prefix="agent-power-") as scratch:
        make_layer(pathlib.Path(scratch) / "layer")
        root = pathlib.Path(scratch) / "root"
        subprocess.run(["cp", "-a", f"{scratch}/layer/lib/crash/state", str(root)], check=True)
        for name in FIRST_DIRECTORIES:
            (root / name).mkdir(exist_ok=True)
        for name, target in LINKS.items():
            (root / name).symlink_to(target)
        root.chmod(0o755)
        qemu.make_disk(path, DISK_SIZE, root, DISK_OPTIONS)


def make_usr(directory: pathlib.Path) -> list[pathlib.Path]:
    """The disks that are /usr: the Debian's, and what the small world has above it."""

    def make(place: pathlib.Path) -> None:
        qemu.make_disk(place / "usr.img", "1G", tree.base() / "usr", ["-O", "^has_journal"])

    cache.forget("usr-*", unused_days=7)
    below = cache.entry(f"usr-{tree.base().name}", make) / "usr.img"
    with tempfile.TemporaryDirectory(prefix="agent-power-") as scratch:
        make_layer(pathlib.Path(scratch) / "layer")
        above = directory / "layer.img"
        qemu.make_disk(above, "64M", pathlib.Path(scratch) / "layer", ["-O", "^has_journal"])
    return [below, above]


def machine(disk: str, usr: list[pathlib.Path], log: pathlib.Path, **more) -> qemu.Machine:
    """The VM; `disk` is QEMU's word for the one of the state."""
    frozen = [f"file={path},format=raw,readonly=on" for path in usr]
    return qemu.Machine(
        disks=[disk, *frozen], initrd=qemu.initrd(_FIRST, ["overlay"]), log=log, **more
    )


def outcome(vm: qemu.Machine, timeout: float) -> Outcome:
    """How the run in the VM ended."""
    vm.await_line(f"^{ENDED}", timeout)
    for line in vm.said().splitlines():
        if line.startswith('{"settled_after"'):
            return Outcome(**json.loads(line))
    raise WorldFailed(f"the VM's run told nothing:\n{vm.said()[-2000:]}")


class DiskWorld(World):
    """A small world whose state lies on the file system of `disk`, between insert() and eject()."""

    def __enter__(self) -> "DiskWorld":
        super().__enter__()
        self._inserted = False
        return self

    @property
    def disk(self) -> pathlib.Path:
        """Where the disk's image is to lie: it goes away with the world's mounts, however they end."""
        return self.root / "stub/disk.img"

    def insert(self) -> None:
        """Mounts the disk, which replays its journal, and boots."""
        self._in_its_mounts(
            'mkdir -p "$1/stub/disk"\nmount -o loop "$1/stub/disk.img" "$1/stub/disk"\n'
            + "".join(f'mount --bind "$1/stub/disk/{name}" "$1/{name}"\n' for name in STATE)
        )
        self._inserted = True
        # Of useradd and its like; by now the number in them is that of another process, which lives.
        for lock in (self.root / "etc").glob("*.lock"):
            if lock.name != ".pwd.lock":
                lock.write_bytes(b"1\0")
        self.clear_log()
        self.reboot()

    def eject(self) -> None:
        """Ends every process and unmounts the disk, if one is mounted."""
        if not self._inserted:
            return
        self._ask("end")
        self._in_its_mounts(
            "".join(f'umount "$1/{name}"\n' for name in STATE) + 'umount "$1/stub/disk"\n'
        )
        self._inserted = False

    def _in_its_mounts(self, script: str) -> None:
        process, inside = re.fullmatch(r"/proc/(\d+)/root(/.*)", str(self.root)).groups()
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{process}/ns/mnt", "sh", "-ec", script, "sh", inside],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise WorldFailed(f"the disk could not be changed: {done.stderr.strip()}")


class MountedWorld(World):
    """The state on a disk that somebody else runs: what is seen of it, while it is mounted here."""

    def __init__(self, mounted: pathlib.Path):
        super().__init__()
        self.root = mounted

    def log(self) -> list[str]:
        return []  # it was in the other machine's memory


@contextlib.contextmanager
def mounted(disk: pathlib.Path, place: pathlib.Path) -> Iterator[MountedWorld]:
    """Mounts it, which replays its journal. In a mount namespace of one's own; see private_memory()."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(disk), str(place)], check=True)
    try:
        yield MountedWorld(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def private_memory() -> pathlib.Path:
    """A directory of memory that only this process and its children see, and that goes with them.

    Before any thread is started. What they mount from now on goes with them as well.
    """
    place = cache.root() / "power-memory"
    place.mkdir(exist_ok=True)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace cannot be made")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "power", str(place)], check=True)
    return place


def copy(disk: pathlib.Path, to: pathlib.Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(disk), str(to)], check=True)


def converges(world: World) -> str:
    """What is wrong with a run on what a cut has left; "" if nothing is."""
    return kill.converges(world) or what_is_torn(world)


def what_is_torn(world: World) -> str:
    """Of what programs wrote without syncing it, once a run has converged."""
    marks = [*(world.root / "opt").glob(kill.WORK_MARK)]
    marks += (world.root / "var/lib/agent").glob("making-*")
    if marks:
        return f"still marked as work under way: {[mark.name for mark in marks]}"
    for database in ("passwd", "shadow", "group", "gshadow"):
        if "\njupyter:" not in (world.root / "etc" / database).read_text():
            return f"the user has no entry in /etc/{database}"
    roots = [
        str(path.relative_to(world.root))
        for path in [world.root / "home/jupyter", *(world.root / "home/jupyter").rglob("*")]
        if path.lstat().st_uid == 0
    ]
    if roots:
        return f"not the user's, in his home: {roots}"
    # Neither a stub's package nor /etc/skel has a file that is meant to be empty.
    empty = [
        str(path.relative_to(world.root))
        for place in ("opt", "home")
        for path in (world.root / place).rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_size == 0
    ]
    return f"files without content: {empty}" if empty else ""


def is_clean(disk: pathlib.Path) -> str:
    """What e2fsck finds wrong with a disk that is not mounted; "" if nothing."""
    done = subprocess.run(
        ["e2fsck", "-f", "-n", str(disk)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else f"the file system is not clean:\n{done.stdout}"
