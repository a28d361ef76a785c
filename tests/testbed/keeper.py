#!/usr/bin/python3
"""Owns one stand-in VM on this machine: its number, network, disk, metadata, web server and systemd.

It is a program of its own in a session of its own, so that everything it made goes away however its
owner ends. It obeys JSON lines on standard input, answers each with one on standard output, and
takes all of it away when standard input closes; after `stay` it goes on alone until SIGTERM. If the
keeper itself is killed, its children die with it and the next keeper sweeps up the rest.

usage: keeper.py TREE [systemd-nspawn options]
       TREE may be several directories, with colons between: the uppermost first

    {"do": "boot"}   starts the VM on its disk       {"do": "stay"}   outlives the owner
    {"do": "kill"}   a crash: all its processes die  {"do": "stop"}   takes everything away, ends
    {"do": "serve"}  the metadata server alone, for a VM that another program boots
"""

import contextlib
import fcntl
import functools
import http.server
import json
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time

import cache
import network

# Not in the cache: numbers belong to the machine, whichever cache is used.
VMS = pathlib.Path("/var/tmp/agent-testbed")
EMULATOR = pathlib.Path(__file__).resolve().parent.parent / "emulator" / "metadata.py"
WEB_PORT = 8000

_FORWARDING_WAS_OFF = VMS / ".forwarding-was-off"
_NSPAWN_LEFTOVERS = pathlib.Path("/run/systemd/nspawn/propagate")
_NSPAWN_REBOOT = 133
# A systemd does not die with its nspawn, but a namespace of processes does with its first one.
_CONTAINED = ["unshare", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child"]
_NSPAWN = [
    "systemd-nspawn",
    "--quiet",
    "--boot",
    "--register=no",
    "--keep-unit",
    "--console=read-only",
    "--resolv-conf=off",
    "--timezone=off",
    "--link-journal=no",
    "--bind=/dev/fuse",
    "--capability=all",
    "--system-call-filter=add_key keyctl bpf",
]


class Keeper:
    def __init__(self, tree: str, nspawn_options: list[str]):
        self._nspawn_options = nspawn_options
        self._nspawn: subprocess.Popen | None = None
        self._emulator: subprocess.Popen | None = None
        self._web: http.server.ThreadingHTTPServer | None = None
        self._boots = 0
        self._exit_status: int | None = None
        self._stays = False
        with cache.locked(VMS / ".lock"):
            _sweep()
            self._number, self._lock = _claim()
            if not network.forwarding():
                _FORWARDING_WAS_OFF.touch()
                network.set_forwarding(True)
        self.directory = VMS / f"vm{self._number}"
        self._network = network.Network(self._number)
        try:
            self._network.create()
            self._mount(tree)
            self._serve_files()
            self._write_state()
        except BaseException:
            self.remove()
            raise

    def describe(self) -> dict:
        return {"number": self._number, "directory": str(self.directory)}

    def obey(self, request: dict) -> dict:
        match request["do"]:
            case "boot":
                self._boot()
            case "kill":
                self._kill()
                self._write_state()
            case "serve":
                self._start_emulator()
            case "stay":
                self._stays = True
            case unknown:
                raise ValueError(f"the keeper does not know {unknown}")
        return {"boots": self._boots}

    def run(self) -> None:
        """Obeys until told to stop, or until the owner is gone."""
        wakeup, signalled = os.pipe()
        os.set_blocking(signalled, False)
        signal.set_wakeup_fd(signalled)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        events = selectors.DefaultSelector()
        events.register(wakeup, selectors.EVENT_READ)
        events.register(sys.stdin.buffer.raw, selectors.EVENT_READ)
        pending = b""
        while True:
            for key, _ in events.select():
                if key.fd == wakeup:
                    if signal.SIGTERM in os.read(wakeup, 4096):
                        return
                    self._reap()
                    continue
                received = os.read(key.fd, 65536)
                if not received:
                    if not self._stays:
                        return
                    events.unregister(key.fileobj)
                    continue
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    if not self._answer(json.loads(line)):
                        return

    def remove(self) -> None:
        """Takes everything away, whatever part of it exists."""
        self._kill()
        if self._emulator:
            self._emulator.kill()
            self._emulator.wait()
        if self._web:
            # Whoever gets the number next listens on the same address, and a socket that a thread
            # waits for is not closed before that thread returns.
            self._web.shutdown()
            self._web.server_close()
        with cache.locked(VMS / ".lock"):
            _take_away(self._number)
        os.close(self._lock)
        _empty_bin()

    def _answer(self, request: dict) -> bool:
        if request == {"do": "stop"}:
            return False
        try:
            answer = self.obey(request)
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
        return True

    def _mount(self, tree: str) -> None:
        for name in ("root", "upper", "work", "www"):
            (self.directory / name).mkdir()
        (self.directory / "upper").chmod(0o755)
        layers = f"lowerdir={tree},upperdir={self.directory}/upper,workdir={self.directory}/work"
        _run(["mount", "-t", "overlay", "agent-testbed", "-o", layers, f"{self.directory}/root"])

    def _serve_files(self) -> None:
        handler = functools.partial(_QuietFiles, directory=str(self.directory / "www"))
        address = (self._network.host_address, WEB_PORT)
        self._web = http.server.ThreadingHTTPServer(address, handler)
        serve = functools.partial(self._web.serve_forever, poll_interval=0.1)
        threading.Thread(target=serve, daemon=True).start()

    def _boot(self) -> None:
        if self._nspawn:
            raise ValueError("the VM runs already")
        if not self._emulator:
            self._start_emulator()
        groups = _make_control_groups(self._number)
        enter = "".join(f"echo $$ > {group}/cgroup.procs && " for group in groups)
        with open(self.directory / "console.log", "ab") as console:
            self._nspawn = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", f'{enter}exec "$@"', "sh"]
                + [*_CONTAINED, *_NSPAWN, f"--machine={self._network.namespace}"]
                + [f"--network-namespace-path={self._network.namespace_path}"]
                + [f"--directory={self.directory}/root", *self._nspawn_options],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self._boots += 1
        self._write_state()

    def _start_emulator(self) -> None:
        files = self.directory
        self._emulator = subprocess.Popen(
            self._network.enter(
                ["/usr/bin/python3", str(EMULATOR), "--die-with-parent"]
                + ["--listen", f"{network.METADATA_ADDRESS}:80", "--tree", f"{files}/metadata.json"]
                + ["--control", f"{files}/metadata.sock", "--log", f"{files}/metadata.jsonl"]
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if not self._emulator.stdout.readline().startswith("listening"):
            problem = self._emulator.stderr.read()
            self._emulator.wait()
            self._emulator = None
            raise OSError(f"the metadata emulator did not start: {problem.strip()}")

    def _kill(self) -> None:
        if self._nspawn:
            self._nspawn.kill()
            self._exit_status = self._nspawn.wait()
            self._nspawn = None
            _await_no_processes(self._number)

    def _reap(self) -> None:
        if not self._nspawn or self._nspawn.poll() is None:
            return
        self._exit_status = self._nspawn.returncode
        self._nspawn = None
        if self._exit_status == _NSPAWN_REBOOT:
            self._boot()
        else:
            self._write_state()

    def _write_state(self) -> None:
        state = {
            "keeper": os.getpid(),
            "nspawn": self._nspawn.pid if self._nspawn else None,
            "boots": self._boots,
            "exit_status": self._exit_status,
        }
        written = self.directory / "state.json.new"
        written.write_text(json.dumps(state))
        written.rename(self.directory / "state.json")


class _QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


def _claim() -> tuple[int, int]:
    """A free number, and the lock that says it is taken for as long as this process lives."""
    for number in range(1, 255):
        directory = VMS / f"vm{number}"
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o711)
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return number, lock
    raise OSError("this machine runs 254 stand-in VMs already")


def is_kept(directory: pathlib.Path) -> bool:
    """Whether a keeper lives that has this directory."""
    try:
        lock = os.open(directory / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _sweep() -> None:
    """Takes away what keepers left that were killed. The caller holds the lock on all numbers."""
    for directory in VMS.glob("vm*"):
        if not is_kept(directory):
            _take_away(int(directory.name.removeprefix("vm")))
    _empty_bin()


def _take_away(number: int) -> None:
    """Frees a number. The caller holds the lock on all numbers; the VM's processes were killed."""
    directory = VMS / f"vm{number}"
    root = directory / "root"
    _await_no_processes(number)
    if os.path.ismount(root):
        _run(["umount", "--recursive", "--lazy", str(root)])
    its_network = network.Network(number)
    its_network.remove()
    _remove_control_groups(number)
    shutil.rmtree(_NSPAWN_LEFTOVERS / its_network.namespace, ignore_errors=True)
    directory.rename(VMS / f".removed-{number}-{time.monotonic_ns()}")
    if _FORWARDING_WAS_OFF.exists() and not any(VMS.glob("vm*")):
        network.set_forwarding(False)
        _FORWARDING_WAS_OFF.unlink()


def _empty_bin() -> None:
    for removed in VMS.glob(".removed-*"):
        shutil.rmtree(removed, ignore_errors=True)


def _control_groups(number: int) -> list[pathlib.Path]:
    """The VM's own place in each hierarchy that systemd manages: two systemds must not share one."""
    mounts = pathlib.Path("/proc/mounts").read_text()
    found = re.findall(r"^\S+ (\S+) (?:cgroup2 |cgroup \S*name=systemd)", mounts, re.M)
    return [pathlib.Path(mount) / f"agent-testbed-vm{number}" for mount in found]


def _make_control_groups(number: int) -> list[pathlib.Path]:
    groups = _control_groups(number)
    for group in groups:
        group.mkdir(exist_ok=True)
    return groups


def _remove_control_groups(number: int) -> None:
    for group in _control_groups(number):
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def _await_no_processes(number: int) -> None:
    """Waits until the kernel has ended what was in the VM; its first process was killed before."""
    deadline = time.monotonic() + 20
    for group in _control_groups(number):
        for directory, _, _ in os.walk(group):
            members = pathlib.Path(directory) / "cgroup.procs"
            with contextlib.suppress(OSError):
                while members.read_text() and time.monotonic() < deadline:
                    time.sleep(0.01)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def main() -> int:
    VMS.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        keeper = Keeper(sys.argv[1], sys.argv[2:])
    except (OSError, network.NetworkFailed) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    try:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(keeper.describe()), flush=True)
            keeper.run()
    finally:
        keeper.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
