#!/usr/bin/python3
"""Owns what a small machine has beside the agent: process 1, units as systemd keeps them, metadata.

It runs as process 1, in the namespaces that world.py makes or in a virtual machine of its own, and does
what it is told: a JSON object a line on standard input, an answer a line on standard output.

    {"do": "reset"}                 ends everything; the state is that of a machine never set up
    {"do": "boot"}                  ends everything and empties /run and /tmp; then what is enabled starts
    {"do": "run", "tracer": […], "timeout": 30, "stop": "term", "kill_at": ""}
                                    `agent run` until it has settled and has been ended, or is dead;
                                    killed once /stub/log says what "kill_at" says
    {"do": "end"}                   ends everything
    {"do": "exec", "argv": […], "timeout": 30}      a program in the machine, as root

The units are the product's own files with their drop-ins; of systemd there is what the agent relies on:
sockets held and handed over, notifications, restarts, conditions, credentials. stubs/systemctl asks.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence

SETTLED = ("ready", "degraded", "failed")
UNITS = [
    "agent-front.socket",
    "agent-front-control.socket",
    "agent-front.service",
    "agent-jupyter.service",
]
# Started by a boot, as far as their conditions hold.
ENABLED = ["agent-front.socket", "agent-front.service", "agent-jupyter.service"]
STATE = ["etc", "home", "opt", "root", "var"]
STOP_LIMIT = 10
LOOK_INTERVAL = 0.05  # where a run was made deaf: it cannot tell of a change
SHORT_INTERVAL = 0.005
FOR_EVER = 3600
ANSWERS = 256  # ways back to a systemctl, told apart by its process id
FIRST_HANDED = 3  # sd_listen_fds(3)
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def definition(root: pathlib.Path, unit: str) -> dict[str, list[str]]:
    """{"Section.Key": values} of a unit with its drop-ins; an empty assignment takes earlier ones away."""
    found: dict[str, list[str]] = {}
    drop_ins = sorted((root / f"etc/systemd/system/{unit}.d").glob("*.conf"))
    for path in [root / "usr/local/lib/systemd/system" / unit, *drop_ins]:
        with contextlib.suppress(FileNotFoundError):
            section = ""
            for line in path.read_text().splitlines():
                if line.startswith("["):
                    section = line.strip("[]")
                elif "=" in line and not line.startswith(("#", ";")):
                    key, _, value = line.partition("=")
                    values = found.setdefault(f"{section}.{key}", [])
                    values.append(value) if value else values.clear()
    return found


def processes() -> list[str]:
    """What runs, for people: number, state, what it waits for, command."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            waits = (path / "wchan").read_text()
            found.append(f"{path.name} {state} {waits} {words[:80]}")
    return found


@dataclasses.dataclass
class Unit:
    name: str
    defined: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    active: str = "inactive"
    sub: str = "dead"
    status: str = ""
    result: str = "success"
    restarts: int = 0
    process: int = 0
    held: list[socket.socket] = dataclasses.field(default_factory=list)
    notices: socket.socket | None = None
    start_again_at: float | None = None  # by Restart=
    then_start: bool = False  # once it is down
    kill_at: float | None = None
    waiting: list[str] = dataclasses.field(default_factory=list)  # for it to be down

    def value(self, key: str, default: str = "") -> str:
        return (self.defined.get(key) or [default])[-1]


class Machine:
    def __init__(self, root: pathlib.Path, metadata):
        self.root = root
        self.metadata = metadata
        self.units: dict[str, Unit] = {}
        self.requests = -1
        self.run_notices: socket.socket | None = None
        self.ended: dict[int, int] = {}  # wait statuses of processes that are no unit's
        self._wakeup, wakeup_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    # Its life

    def reset(self) -> None:
        self.end()
        for name in STATE:
            for path in (self.root / name).glob("*"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        seed = self.root / "usr/lib/crash/state"
        subprocess.run(["cp", "-a", f"{seed}/.", str(self.root)], check=True)
        self.boot()

    def boot(self) -> None:
        self.end()
        for name in ("run", "tmp"):
            for path in (self.root / name).iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        stub = self.root / "stub"
        (stub / "boot_id").write_text(f"{uuid.uuid4()}\n")
        for name in ("units", "notify"):
            shutil.rmtree(stub / name, ignore_errors=True)
            (stub / name).mkdir()
        if not (stub / "answers").exists():
            (stub / "answers").mkdir()
            for number in range(ANSWERS):
                os.mkfifo(stub / f"answers/{number}", 0o600)
        log = stub / "log"
        log.touch()
        log.chmod(0o666)
        fifo = stub / "requests"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo, 0o600)
        self.requests = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.units = {name: Unit(name) for name in UNITS}
        for unit in self.units.values():
            self._load(unit)
        for name in ENABLED:
            self._start(self.units[name])

    def end(self) -> None:
        """Ends every process but this one, and lets every port go."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        for unit in self.units.values():
            for held in (*unit.held, *filter(None, [unit.notices])):
                held.close()
        self.units = {}
        self.ended = {}
        if self.requests >= 0:
            os.close(self.requests)
            self.requests = -1

    # The agent

    def run(
        self, tracer: Sequence[str] = (), timeout: float = 30, stop: str = "term", kill_at: str = ""
    ) -> dict:
        self._directory("run/agent", 0o755)
        with contextlib.suppress(OSError):  # ExecStartPre=-
            self._directory("var/log/agent", 0o2750, group=self._group("adm"))
        before = self._status_identity()
        notices = self._notify_socket("agent")
        begin = time.monotonic()
        said = self.root / "stub/agent.log"
        agent = ["chroot", str(self.root), "/usr/local/bin/agent", "run"]
        process = self._spawn(
            [*tracer, *agent], ["NOTIFY_SOCKET=/stub/notify/agent", PATH], {}, output=said
        )
        self.run_notices = notices
        outcome: dict = {"settled_after": None, "status": None, "timed_out": False}
        settled = False
        while process not in self.ended:
            left = begin + timeout - time.monotonic()
            if left <= 0:
                if not outcome["timed_out"]:
                    with open(said, "a") as file:
                        file.write("still there: " + " | ".join(processes()) + "\n")
                outcome["timed_out"] = True
                self._signal(process, bool(tracer), signal.SIGKILL)
                left = STOP_LIMIT
            self.turn(min(left, SHORT_INTERVAL if kill_at else LOOK_INTERVAL))
            if kill_at and kill_at in (self.root / "stub/log").read_text():
                self._signal(process, bool(tracer), signal.SIGKILL)
                kill_at = ""
            if not settled and (state := self._new_status(before)):
                settled = True
                outcome["settled_after"] = time.monotonic() - begin
                outcome["status"] = state
                number = signal.SIGTERM if stop == "term" else signal.SIGKILL
                self._signal(process, bool(tracer), number)
        status = self.ended.pop(process)
        self.run_notices = None
        notices.close()
        outcome["exit"] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        outcome["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        outcome["seconds"] = time.monotonic() - begin
        outcome["log"] = said.read_text(errors="replace")
        return outcome

    def _signal(self, process: int, traced: bool, number: int) -> None:
        """To the agent itself; a tracer ends when it does."""
        with contextlib.suppress(OSError, IndexError):  # it has just ended
            if traced:
                children = f"/proc/{process}/task/{process}/children"
                process = int(pathlib.Path(children).read_text().split()[0])
            os.kill(process, number)

    def _status_identity(self) -> tuple | None:
        try:
            found = (self.root / "run/agent/status.json").stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _new_status(self, before: tuple | None) -> dict | None:
        """The status of this run, once it has settled."""
        if self._status_identity() in (None, before):
            return None
        try:
            status = json.loads((self.root / "run/agent/status.json").read_text())
        except (OSError, ValueError):
            return None
        return status if status.get("state") in SETTLED else None

    # The loop

    def turn(self, longest: float, also: int | None = None) -> bool:
        """Waits for something to happen, and sees to it; whether `also` can be read."""
        sources = [self._wakeup, self.requests]
        sources += [unit.notices for unit in self.units.values() if unit.notices]
        if self.run_notices:
            sources.append(self.run_notices)
        front = self.units["agent-front.service"]
        idle = front.process == 0 and front.start_again_at is None
        listeners = self._held_by(front) if idle else []
        now = time.monotonic()
        for unit in self.units.values():
            for at in (unit.start_again_at, unit.kill_at):
                longest = min(longest, max(0, at - now)) if at is not None else longest
        others = [also] if also is not None else []
        readable, _, _ = select.select([*sources, *listeners, *others], [], [], longest)
        if self._wakeup in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
        # What a process said comes before its end.
        for unit in self.units.values():
            if unit.notices in readable:
                self._hear(unit)
        if self.run_notices and self.run_notices in readable:
            with contextlib.suppress(BlockingIOError):
                while self.run_notices.recv(4096):
                    pass
        self._reap()
        if any(listener in readable for listener in listeners):
            self._start(front)
        if self.requests in readable:
            for line in os.read(self.requests, 65536).decode().splitlines():
                self._obey(*line.split())
        now = time.monotonic()
        for unit in self.units.values():
            if unit.kill_at is not None and unit.kill_at <= now:
                os.kill(unit.process, signal.SIGKILL)
                unit.kill_at = None
            if unit.start_again_at is not None and unit.start_again_at <= now:
                unit.start_again_at = None
                unit.restarts += 1
                self._start(unit)
        return also in readable

    def _reap(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            for unit in self.units.values():
                if unit.process == process:
                    self._hear(unit)
                    self._down(unit, status)
                    break
            else:
                self.ended[process] = status

    # systemctl

    def _obey(self, verb: str, name: str, how: str, asker: str) -> None:
        if verb == "daemon-reload":
            for unit in self.units.values():
                self._load(unit)
            self._answer(asker, 0)
            return
        if verb == "sync":
            self._answer(asker, 0)
            return
        unit = self.units.get(name)
        if not unit:
            self._answer(asker, 5)  # systemd's "no such unit"
            return
        if verb == "start":
            self._start(unit)
        elif verb == "restart" and unit.process:
            self._stop(unit)
            unit.then_start = True
        elif verb == "restart":
            self._stop(unit)
            self._start(unit)
        else:
            self._stop(unit)
        if how == "wait" and unit.process:
            unit.waiting.append(asker)
        else:
            self._answer(asker, 0)

    def _answer(self, asker: str, outcome: int) -> None:
        # Who was killed meanwhile has nobody at the other end.
        with contextlib.suppress(OSError):
            path = self.root / "stub/answers" / asker
            answer = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(answer, f"{outcome}\n".encode())
            os.close(answer)

    # Units

    def _load(self, unit: Unit) -> None:
        unit.defined = definition(self.root, unit.name)
        (self.root / f"stub/units/.{unit.name}.loaded").write_text("")
        self._show(unit)

    def _show(self, unit: Unit) -> None:
        path = self.root / "stub/units" / unit.name
        temporary = path.with_name(f".{unit.name}.new")
        temporary.write_text(
            f"ActiveState={unit.active}\nSubState={unit.sub}\nStatusText={unit.status}\n"
            f"Result={unit.result}\nNRestarts={unit.restarts}\n"
        )
        temporary.rename(path)

    def _turn_to(self, unit: Unit, active: str, sub: str) -> None:
        unit.active, unit.sub = active, sub
        self._show(unit)

    def _may_start(self, unit: Unit) -> bool:
        conditions = unit.defined.get("Unit.ConditionPathExists", [])
        holds = all((self.root / path.lstrip("/")).exists() for path in conditions)
        for path in unit.defined.get("Unit.AssertFileNotEmpty", []):
            file = self.root / path.lstrip("/")
            holds = holds and file.is_file() and file.stat().st_size > 0
        return holds

    def _start(self, unit: Unit) -> None:
        if unit.process:
            unit.then_start = unit.active == "deactivating"
            return
        if unit.held or not unit.defined or not self._may_start(unit):
            return
        unit.start_again_at = None
        unit.result = "success"
        if unit.name.endswith(".socket"):
            self._listen(unit)
        elif unit.name == "agent-front.service":
            for name in ("agent-front.socket", "agent-front-control.socket"):
                self._start(self.units[name])
            self._start_front(unit)
        else:
            self._start_jupyter(unit)

    def _listen(self, unit: Unit) -> None:
        try:
            for where in unit.defined.get("Socket.ListenStream", []):
                address, _, port = where.rpartition(":")
                unit.held.append(
                    socket.create_server((address or "0.0.0.0", int(port)), backlog=256)
                )
            for where in unit.defined.get("Socket.ListenSequentialPacket", []):
                path = self.root / where.lstrip("/")
                path.parent.mkdir(exist_ok=True)
                path.unlink(missing_ok=True)
                control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                control.bind(str(path))
                path.chmod(0o600)
                control.listen()
                unit.held.append(control)
        except OSError:
            unit.result = "resources"
            self._turn_to(unit, "failed", "failed")
            return
        self._turn_to(unit, "active", "listening")

    def _held_by(self, front: Unit) -> list[socket.socket]:
        names = ("agent-front.socket", "agent-front-control.socket")
        return [held for name in names for held in self.units[name].held]

    def _start_front(self, unit: Unit) -> None:
        uid, gid = self._account("agent-front")
        credentials = self._directory("run/credentials", 0o700, uid, gid)
        environment = [PATH, *unit.defined.get("Service.Environment", [])]
        for credential in unit.defined.get("Service.LoadCredential", []):
            name, _, source = credential.partition(":")
            path = credentials / name
            path.write_bytes((self.root / source.lstrip("/")).read_bytes())
            path.chmod(0o400)
            os.chown(path, uid, gid)
        environment.append("CREDENTIALS_DIRECTORY=/run/credentials")
        handed = {FIRST_HANDED + i: held.fileno() for i, held in enumerate(self._held_by(unit))}
        environment.append(f"LISTEN_FDS={len(handed)}")
        self._execute(unit, uid, gid, environment, handed)

    def _start_jupyter(self, unit: Unit) -> None:
        if not unit.defined.get("Service.ExecStart"):
            return
        uid, _ = self._account(unit.value("Service.User"))
        gid = int(unit.value("Service.Group"))
        front = self._group("agent-front")
        self._directory("run/agent-jupyter", 0o2750, uid, front)
        self._directory("var/lib/agent-jupyter", 0o700, uid, gid)
        environment = [PATH, *unit.defined.get("Service.Environment", [])]
        self._execute(unit, uid, gid, [word.strip('"') for word in environment], {})

    def _execute(
        self, unit: Unit, uid: int, gid: int, environment: list[str], handed: dict[int, int]
    ) -> None:
        unit.status = ""
        unit.notices = self._notify_socket(unit.name)
        variables = dict(word.partition("=")[::2] for word in environment)
        line = unit.value("Service.ExecStart")
        words = shlex.split(re.sub(r"\$\{(\w+)\}", lambda at: variables.get(at[1], ""), line))
        chroot = ["chroot", f"--userspec={uid}:{gid}", "--groups=", str(self.root)]
        unit.process = self._spawn(
            [*chroot, *words],
            [*environment, f"NOTIFY_SOCKET=/stub/notify/{unit.name}"],
            handed,
            output=self.root / f"stub/{unit.name}.log",
        )
        self._turn_to(unit, "activating", "start")

    def _hear(self, unit: Unit) -> None:
        with contextlib.suppress(BlockingIOError):
            while said := unit.notices.recv(4096).decode():
                for line in said.splitlines():
                    name, _, value = line.partition("=")
                    if name == "STATUS":
                        unit.status = value
                    elif name == "READY" and unit.active == "activating":
                        unit.active, unit.sub = "active", "running"
                self._show(unit)

    def _stop(self, unit: Unit) -> None:
        unit.then_start = False
        unit.start_again_at = None
        if unit.name == "agent-front.socket":
            self._stop(self.units["agent-front.service"])  # Requires=
        for held in unit.held:
            held.close()
        unit.held = []
        if unit.process and unit.active != "deactivating":
            self._turn_to(unit, "deactivating", "stop-sigterm")
            os.kill(unit.process, signal.SIGTERM)
            unit.kill_at = time.monotonic() + STOP_LIMIT
        elif not unit.process:
            self._turn_to(unit, "inactive", "dead")

    def _down(self, unit: Unit, status: int) -> None:
        asked = unit.active == "deactivating"
        unit.process, unit.kill_at, unit.status = 0, None, ""
        unit.notices.close()
        unit.notices = None
        if asked or status == 0:
            unit.result = "success"
        else:
            unit.result = "signal" if os.WIFSIGNALED(status) else "exit-code"
        exits = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        prevented = str(exits) in unit.value("Service.RestartPreventExitStatus").split()
        if not asked and not prevented:
            again = unit.value("Service.RestartSec", "1").rstrip("s")
            unit.start_again_at = time.monotonic() + float(again)
            self._turn_to(unit, "activating", "auto-restart")
        elif not asked:
            self._turn_to(unit, "failed", "failed")
        else:
            self._turn_to(unit, "inactive", "dead")
        for asker in unit.waiting:
            self._answer(asker, 0)
        unit.waiting = []
        if unit.then_start:
            unit.then_start = False
            self._start(unit)

    # Below all of it

    def _notify_socket(self, name: str) -> socket.socket:
        path = self.root / "stub/notify" / name
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind(str(path))
        path.chmod(0o777)
        return made

    def _spawn(
        self, argv: list[str], environment: list[str], handed: dict[int, int], output: pathlib.Path
    ) -> int:
        # From high numbers down, so that none is overwritten before it has been handed over.
        high = {to: os.dup2(descriptor, 100 + to, inheritable=False) for to, descriptor in handed.items()}
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, said, number) for number in (1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, descriptor, to) for to, descriptor in high.items()]
        if handed:
            argv = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *argv]
        process = os.posix_spawnp(
            argv[0],
            argv,
            dict(word.partition("=")[::2] for word in environment),
            file_actions=actions,
            setsigdef=[signal.SIGPIPE],
        )
        for descriptor in (said, null, *high.values()):
            os.close(descriptor)
        return process

    def _directory(self, name: str, mode: int, uid: int = 0, group: int = 0) -> pathlib.Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        found = path.stat()
        if (found.st_uid, found.st_gid) != (uid, group):
            os.chown(path, uid, group)
        if stat.S_IMODE(found.st_mode) != mode:
            path.chmod(mode)
        return path

    def _account(self, name: str) -> tuple[int, int]:
        for line in (self.root / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2]), int(fields[3])
        raise KeyError(f"no user {name}")

    def _group(self, name: str) -> int:
        for line in (self.root / "etc/group").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2])
        raise KeyError(f"no group {name}")

    def execute(self, argv: list[str], timeout: float) -> dict:
        said = self.root / "stub/exec.log"
        begin = time.monotonic()
        process = self._spawn(["chroot", str(self.root), *argv], [PATH], {}, output=said)
        while process not in self.ended:
            if time.monotonic() > begin + timeout:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self.turn(LOOK_INTERVAL)
        return {
            "exit": os.waitstatus_to_exitcode(self.ended.pop(process)),
            "said": said.read_text(errors="replace"),
        }


def serve(machine: Machine) -> None:
    """Until standard input ends; between two orders the units live on."""
    print(json.dumps({"up": True}), flush=True)
    heard = b""
    while True:
        while b"\n" not in heard:
            if machine.units and not machine.turn(FOR_EVER, also=0):
                continue
            more = os.read(0, 65536)
            if not more:
                return
            heard += more
        line, _, heard = heard.partition(b"\n")
        order = json.loads(line)
        match order.pop("do"):
            case "reset":
                machine.reset()
                answer = {}
            case "boot":
                machine.boot()
                answer = {}
            case "end":
                machine.end()
                answer = {}
            case "run":
                answer = machine.run(**order)
            case "exec":
                answer = machine.execute(**order)
            case other:
                answer = {"error": f"unknown order {other}"}
        print(json.dumps(answer), flush=True)


def fix_memory(root: pathlib.Path) -> None:
    """What notebooks may take follows from the machine's memory: it is the same here and in a VM."""
    information = root / "stub/meminfo"
    information.write_text("MemTotal:        4194304 kB\nMemAvailable:    4000000 kB\n")
    bound = ["mount", "--bind", str(information), str(root / "proc/meminfo")]
    subprocess.run(bound, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=pathlib.Path, help="the machine's root directory")
    parser.add_argument("tree", type=pathlib.Path, help="the metadata, as JSON")
    options = parser.parse_args()
    if os.getpid() != 1:
        sys.exit("init.py ends every process that it may end: it must be process 1 of its namespace")
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    import metadata

    fix_memory(options.root)
    with metadata.MetadataServer(
        json.loads(options.tree.read_text()),
        ("169.254.169.254", 80),
        control_path=str(options.root / "stub/metadata.sock"),
    ) as server:
        serve(Machine(options.root, server))


if __name__ == "__main__":
    main()
