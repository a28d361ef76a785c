"""Owns true virtual machines under QEMU: a kernel, disks and control groups of their own.

What a stand-in VM (vm.py) cannot have is had here: a power cut that loses what no flush has made
durable, cgroup v2, a clock and a kernel that are the machine's own. The price is that every
instruction is translated (about ten times slower): keep what runs in one small.

    Machine             the bare thing: a kernel, a first program, disks, a serial line
    with QemuVm(bootstrap=elf, config=toml) as vm:      a Debian with systemd; else as vm.Vm
        vm.run(["systemctl", "is-system-running"])
        vm.cut(); vm.boot()                             the power is lost and comes back

Must be run as root, after `tests/testbed/packages vm qemu`. QEMU dies with the *thread* that started
it (it asks the kernel so): start a Machine in a thread that lives as long as it.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shlex
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import cache
import network
import requirements
from vm import CommandFailed, Vm, VmFailed

QEMU = "/usr/bin/qemu-system-x86_64"
DRIVERS = ["virtio_pci", "virtio_blk", "virtio_net", "virtio-rng"]
CLOCKS = "no_timer_check nolapic_timer clocksource=hpet tsc=unstable"
GUEST_ADDRESS = "10.0.2.15"  # what QEMU's own network gives to its guest
FORWARDED_PORTS = (22, 443, 8888)

# The first program of a Debian: finds the disk, gives it to systemd.
SWITCH_TO_DISK = """\
mkdir /disk
mount -t ext4 -o rw /dev/vda /disk
mount --move /dev /disk/dev
umount /proc /sys
exec switch_root /disk /sbin/init
"""



def release() -> str:
    """The kernel's, as uname -r says it in the guest."""
    return next((requirements.kernel() / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")


def initrd(
    script: str,
    drivers: Sequence[str] = (),
    files: Mapping[str, os.PathLike | str] | None = None,
) -> pathlib.Path:
    """A first root file system in memory, whose /init loads DRIVERS and `drivers`, then runs `script`.

    It has busybox as its shell and its commands. `files` are further ones: {"path/in/it": here}.
    """
    kernel, busybox = requirements.kernel(), requirements.debian_files("busybox-static")
    wanted = _with_their_needs(kernel, [*DRIVERS, *drivers])
    load = "".join(f"insmod /drivers/{module.name}\n" for module in wanted)
    start = (
        "#!/bin/sh\n"
        "/bin/busybox --install -s /bin\n"
        "export PATH=/bin\n"
        "mount -t devtmpfs dev /dev\nmount -t proc proc /proc\nmount -t sysfs sys /sys\n"
        f"{load}{script}"
    )
    archive = _Archive()
    for name in ("bin", "dev", "proc", "sys", "drivers", "run", "tmp"):
        archive.directory(name)
    archive.file("bin/busybox", (busybox / "bin/busybox").read_bytes(), 0o755)
    archive.link("bin/sh", "busybox")
    for module in wanted:
        archive.file(f"drivers/{module.name}", module.read_bytes(), 0o644)
    for name, path in (files or {}).items():
        archive.parents(name)
        archive.file(name, pathlib.Path(path).read_bytes(), stat.S_IMODE(os.stat(path).st_mode))
    archive.file("init", start.encode(), 0o755)
    content = archive.end()
    name = f"initrd-{hashlib.sha256(content).hexdigest()[:12]}"
    cache.forget("initrd-*", unused_days=7)
    return cache.entry(name, lambda place: (place / "initrd").write_bytes(content)) / "initrd"


def make_disk(
    path: pathlib.Path, size: str, root: pathlib.Path | None = None, options: Sequence[str] = ()
) -> None:
    """An ext4 disk of so many bytes ("64M"), sparse, that holds a copy of `root`."""
    path.unlink(missing_ok=True)
    # Nothing is left for the kernel to initialise later, beside what a guest writes.
    made_whole = ["-E", "lazy_itable_init=0,lazy_journal_init=0"]
    source = ["-d", str(root)] if root else []
    _run(["mkfs.ext4", "-q", "-F", "-m", "0", *made_whole, *options, *source, str(path), size])


class Machine:
    """One machine; `start` gives it power and `kill` takes it.

    disks       QEMU's -drive options, or paths of raw images; /dev/vda, /dev/vdb, ... in this order
    initrd      the first program, see initrd()
    append      more words for the kernel's command line
    enter       turns a command into one that runs in another network; see network.Network.enter
    forward     {port of this network's address: port of the guest}, as (address, ports)
    options     more options of QEMU, such as ["-rtc", "base=2015-01-01T00:00:00"]
    log         the file to which what the serial line says is added
    """

    def __init__(
        self,
        *,
        disks: Sequence[os.PathLike | str],
        initrd: pathlib.Path,
        log: pathlib.Path,
        append: str = "",
        memory: str = "512M",
        cpus: int = 2,
        enter: Callable[[Sequence[str]], list[str]] = list,
        forward: tuple[str, Sequence[int]] | None = None,
        options: Sequence[str] = (),
    ):
        # On a loaded machine a timer that comes late is no broken one, and what the kernel measures of
        # the CPU's own timers and counter is wrong: the guest would sleep many times too long.
        kernel = requirements.kernel() / "boot" / f"vmlinuz-{release()}"
        self._command = [QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        self._command += ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(cpus)]
        self._command += ["-m", memory, "-serial", "stdio", "-device", "virtio-rng-pci"]
        self._command += ["-kernel", str(kernel), "-initrd", str(initrd)]
        self._command += ["-append", f"console=ttyS0 panic=-1 quiet {CLOCKS} {append}".strip()]
        for disk in disks:
            drive = str(disk) if "=" in str(disk) else f"file={disk},format=raw,cache=writeback"
            self._command += ["-drive", f"if=virtio,{drive}"]
        address, ports = forward or ("", ())
        netdev = "".join(f",hostfwd=tcp:{address}:{port}-:{port}" for port in ports)
        self._command += ["-netdev", f"user,id=net{netdev}"]
        # In slot 4 it is called as on Google's machines: ens4.
        self._command += ["-device", "virtio-net-pci,netdev=net,addr=4", *options]
        self._enter = enter
        self._log = log
        self._process: subprocess.Popen | None = None
        self._reader: threading.Thread | None = None
        self._said = ""
        self._heard = threading.Condition()

    def __enter__(self) -> "Machine":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def start(self) -> None:
        """Gives it power, on what its disks hold."""
        self.kill()
        self._said = ""
        self._process = subprocess.Popen(
            self._enter(["setpriv", "--pdeathsig", "KILL", *self._command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """A power cut: what the guest has not flushed may be lost with QEMU's own memory."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._process = None

    def wait(self, timeout: float) -> None:
        """Until the guest has switched itself off (or restarted, which is the same here)."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise VmFailed(f"the guest did not end in {timeout:.0f} s{self._tail()}") from None
        self._reader.join()

    @property
    def process(self) -> int | None:
        """QEMU's process id."""
        return self._process.pid if self.is_running() else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        """What the serial line has said since the start."""
        with self._heard:
            return self._said

    def await_line(self, pattern: str, timeout: float) -> re.Match:
        """The first match of a pattern in what the serial line says."""
        deadline = time.monotonic() + timeout
        with self._heard:
            while not (found := re.search(pattern, self._said, re.M)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise VmFailed(f"no {pattern!r} in {timeout:.0f} s{self._tail()}")
                if self._process.poll() is not None and not self._reader.is_alive():
                    raise VmFailed(f"the machine ended without {pattern!r}{self._tail()}")
                self._heard.wait(min(left, 1))
            return found

    def _read(self, process: subprocess.Popen) -> None:
        with open(self._log, "ab") as log, process.stdout:
            while received := os.read(process.stdout.fileno(), 65536):
                log.write(received)
                log.flush()
                with self._heard:
                    self._said += received.decode(errors="replace").replace("\r\n", "\n")
                    self._heard.notify_all()

    def _tail(self) -> str:
        return "; the serial line ends with:\n" + "\n".join(self._said.splitlines()[-20:])


class QemuVm(Vm):
    """A Debian with systemd on cgroup v2, with the metadata server and the network of a Vm.

    As Vm, but: `run` goes over ssh as root, `root` is what the disk is made of and is not seen once
    the VM has booted, and `kill` is a power cut. `layers` (image.py) spare it what setting up takes.

    disk_size       of the one disk, /dev/vda
    memory, cpus    what it has
    drivers         kernel modules loaded before systemd, such as sch_netem
    machine_options further options of QEMU
    """

    def __init__(
        self,
        *,
        disk_size: str = "4G",
        memory: str = "2G",
        cpus: int = 2,
        drivers: Sequence[str] = (),
        machine_options: Sequence[str] = (),
        **vm,
    ):
        super().__init__(**vm)
        self._disk_size = disk_size
        self._shape = {"memory": memory, "cpus": cpus, "options": list(machine_options)}
        self._drivers = list(drivers)
        self._boots = 0
        self.machine: Machine | None = None

    def create(self) -> None:
        super().create()
        self._furnish_for_qemu()
        make_disk(self.disk, self._disk_size, self.root)
        self._tell("serve")
        self.machine = self.make_machine()

    def make_machine(self, **changes) -> Machine:
        """Another machine on the same disk; takes what Machine takes."""
        how = {
            "disks": [self.disk],
            "initrd": initrd(SWITCH_TO_DISK, self._drivers),
            "log": self.directory / "console.log",
            "append": "net.ifnames=1",
            "enter": self.enter_network,
            "forward": (self.address, FORWARDED_PORTS),
        }
        return Machine(**{**how, **self._shape, **changes})

    @property
    def disk(self) -> pathlib.Path:
        return self.directory / "disk.img"

    def boot(self, timeout: float = 240) -> None:
        self.machine.start()
        self._boots += 1
        self.wait_ssh(timeout)

    def reboot(self, timeout: float = 300) -> None:
        self.poweroff(timeout)
        self.boot(timeout)

    def cut(self) -> None:
        """A power cut. `boot` gives the power back."""
        self.machine.kill()

    kill = cut

    def stop(self) -> None:
        if self.machine:
            self.machine.kill()
        super().stop()

    def stay(self) -> None:
        raise VmFailed("a VM under QEMU ends with its owner")

    def is_running(self) -> bool:
        return self.machine is not None and self.machine.is_running()

    def run(self, argv: Sequence[str], **how) -> subprocess.CompletedProcess:
        command = shlex.join(["env", "LANG=C.UTF-8", *argv])
        return self._run([*self.ssh_command("root"), command], **how)

    def wait_ssh(self, timeout: float = 240) -> None:
        def answers() -> bool:
            if not self.is_running():
                raise VmFailed(f"{self.name} went down as it booted:\n{self.machine.said()[-2000:]}")
            return self.ssh("root", ["true"], check=False, timeout=60).returncode == 0

        self.wait_until(answers, timeout, "ssh")

    def save_artefacts(self, directory: os.PathLike | str) -> pathlib.Path:
        directory = super().save_artefacts(directory)
        for path in ("var/log/agent", "run/agent", "var/lib/agent"):
            with contextlib.suppress(CommandFailed, OSError, subprocess.TimeoutExpired):
                listing = self.run(["find", f"/{path}", "-type", "f", "-exec", "tail", "-n+1", "{}", "+"])
                (directory / path.replace("/", "-")).write_text(listing.stdout)
        return directory

    def _furnish_for_qemu(self) -> None:
        root = self.root
        keys = root / "root/.ssh"
        keys.mkdir(mode=0o700, exist_ok=True)
        (keys / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        modules = root / "usr/lib/modules"
        modules.mkdir(exist_ok=True)
        _run(["cp", "-a", f"{requirements.kernel()}/lib/modules/{release()}", str(modules)])
        _run(["chroot", str(root), "depmod", release()])
        units = root / "etc/systemd"
        (units / "network/10-vm.network").write_text(
            f"[Match]\nName={network.INTERFACE}\n[Network]\nDHCP=ipv4\n[DHCPv4]\nUseDNS=no\nUseHostname=no\n"
        )
        wants = units / "system/multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (wants / "systemd-networkd.service").symlink_to(
                "/lib/systemd/system/systemd-networkd.service"
            )

    def _metadata_tree(self, full_name: str) -> dict:
        made = super()._metadata_tree(full_name)
        made["instance"]["network-interfaces"][0] |= {
            "ip": GUEST_ADDRESS,
            "gateway": "10.0.2.2",
            "mac": "52:54:00:12:34:56",
        }
        return made


class _Archive:
    """A cpio archive ("newc"), as the kernel unpacks it."""

    def __init__(self):
        self._bytes = bytearray()
        self._number = 0
        self._directories: set[str] = set()

    def directory(self, name: str) -> None:
        if name not in self._directories:
            self._directories.add(name)
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def parents(self, name: str) -> None:
        for parent in [*pathlib.PurePath(name).parents][-2::-1]:
            self.directory(str(parent))

    def file(self, name: str, content: bytes, mode: int) -> None:
        self._add(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def end(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return bytes(self._bytes)

    def _add(self, name: str, mode: int, content: bytes) -> None:
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = [self._number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self._bytes += content
        self._pad()

    def _pad(self) -> None:
        self._bytes += bytes(-len(self._bytes) % 4)


def _with_their_needs(kernel: pathlib.Path, names: Sequence[str]) -> list[pathlib.Path]:
    """The modules' files, each after those that it needs; what is built in is not among them."""
    modules = kernel / "lib/modules" / release()
    files = {path.stem.replace("-", "_"): path for path in modules.rglob("*.ko")}
    built_in = {
        pathlib.PurePath(line).stem.replace("-", "_")
        for line in (modules / "modules.builtin").read_text().splitlines()
    }
    ordered: list[pathlib.Path] = []

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in built_in:
            return
        if name not in files:
            raise VmFailed(f"the kernel {release()} has no module {name}")
        needs = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for need in filter(None, needs[1].decode().split(",") if needs else []):
            add(need)
        if files[name] not in ordered:
            ordered.append(files[name])

    for name in names:
        add(name)
    return ordered


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise VmFailed(f"{shlex.join(command)} exited {done.returncode}: {done.stderr.strip()}")
