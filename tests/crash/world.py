"""Owns the small world: a machine in which a whole `agent run` takes well under a second.

    with World() as world:
        outcome = world.run()                       # the real binary, until it has settled
        world.run(tracer=["strace", …], timeout=5)
        world.check_invariants()
        world.reset()

It is a root directory with namespaces of its own (mounts, network, processes, host name). Its /usr is that
of the testbed's Debian, read-only, below a thin layer: the product and its units, and stubs/, small programs
in the place of those that take long (apt-get, dpkg, dpkg-query, systemctl, python3), which do change the
machine. Everything else (getent, useradd, stat, id, ss …) is the real one. `agent front`, `agent jupyter`
and the probe are the product itself; init.py keeps the units as systemd does.

The state (/etc /home /opt /root /var) is a few hundred kB. It lies on a tmpfs, or where `disk` is mounted;
/run, /tmp and /stub are always of memory. /stub is no part of the machine: what the stubs did is told
in /stub/log, which no reset empties but clear_log().

A virtual machine gets the same world from make_layer() (what is above the Debian's /usr; it holds the
seed of the state as /usr/lib/crash/state, and init.py, which then is process 1) and FIRST_DIRECTORIES.
The step disk_space asks for some 450 MB of room: an ext4 of 1 GiB, sparse, will do.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPOSITORY / "tests" / place) for place in ("testbed", "emulator")]
import tree  # noqa: E402
from control import Control  # noqa: E402
from metadata import default_tree  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("AGENT_BUILD", REPOSITORY / "build" / "release-static"))
AGENT = BUILD / "agent" / "agent"

FIRST_DIRECTORIES = ["dev", "etc", "home", "opt", "proc", "root", "run", "stub", "sys", "tmp", "usr", "var"]
LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
# What the real programs need of the Debian's /etc.
KEPT_OF_ETC = [
    "group",
    "gshadow",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "login.defs",
    "nsswitch.conf",
    "os-release",
    "pam.conf",
    "pam.d",
    "passwd",
    "protocols",
    "security",
    "services",
    "shadow",
    "shells",
    "skel",
    "subgid",
    "subuid",
]
FRONT_USER = 990
PASSWORD_HASH = (
    "argon2:$argon2id$v=19$m=10240,t=10,p=8$MTIzNDU2Nzg5MDEyMzQ1Ng$"
    "5SjOqJMd2QdZXvLzTkM3oFqS5VdfLAyEoXZHwtTD4Hs"
)
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz
=abcd
-----END PGP PUBLIC KEY BLOCK-----"""
CONFIG = f"""schema = 1
[machine]
user = "jupyter"
[apt]
packages = ["tree", "nano"]
[[apt.repository]]
name = "stub"
url = "https://apt.example.com/debian"
suite = "stable"
components = ["main"]
key = '''
{KEY}
'''
[python]
kind = "venv"
prefix = "/opt/jupyter"
packages = ["jupyterlab", "numpy", "requests"]
[jupyter]
password_hash = "{PASSWORD_HASH}"
directory = "work"
[report]
guest_attributes = false
"""
STEPS = [
    "disk_space",
    "service_user",
    "apt_repositories",
    "apt_packages",
    "tls_certificate",
    "python",
    "python_packages",
    "jupyter_token",
    "jupyter_config",
    "front",
    "jupyter_unit",
    "ready",
]

# Temporary files of durable_write, and what uv_tool has under way.
LEFT_OVERS = re.compile(r"/\.[^/]+\.[A-Za-z0-9]{6}(\.agent-tmp)?$|/tools/(incoming|\.uv)")
NOT_OURS = re.compile(rf"{LEFT_OVERS.pattern}|\.set-aside-\d$")  # evidence is kept as it was
SEARCHED = ["etc", "home", "opt", "root", "var"]
OURS = [
    "etc/agent/**/*",
    "etc/apt/keyrings/*",
    "etc/apt/sources.list.d/*",
    "etc/systemd/system/*.d/*",
    "opt/.*.agent",
    "var/lib/agent/**/*",
]


class WorldFailed(Exception):
    """The world itself could not be made or did not answer; the message says what it said."""


class Broken(AssertionError):
    """An invariant does not hold; the message says which, and what was found."""


@dataclasses.dataclass
class Outcome:
    """One `agent run`. Either settled_after is set, or it died before, or timed_out."""

    status: dict | None  # status.json at the moment in which it had settled
    settled_after: float | None
    timed_out: bool
    exit: int | None
    signal: int | None
    seconds: float
    log: str  # what it said on standard error

    @property
    def state(self) -> str:
        return self.status["state"] if self.status else "unsettled"

    @property
    def steps(self) -> dict[str, str]:
        return {step["id"]: step["state"] for step in self.status["steps"]} if self.status else {}

    def brief(self) -> str:
        """For people: how it ended, and the end of what it said."""
        ended = f"exit {self.exit}" if self.signal is None else f"signal {self.signal}"
        summary = self.status["summary"] if self.status else ""
        tail = "\n    ".join(self.log.splitlines()[-14:])
        late = ", timed out" if self.timed_out else ""
        return f"{self.state}{late}, {ended}, {self.seconds:.2f} s: {summary}\n    {tail}"


def make_layer(directory: pathlib.Path) -> None:
    """Fills `directory` with what lies above the Debian's /usr."""
    programs = directory / "bin"
    crash = directory / "lib/crash"
    units = directory / "local/lib/systemd/system"
    for made in (programs, crash, units, directory / "local/bin"):
        made.mkdir(parents=True)
    shutil.copy(AGENT, directory / "local/bin/agent")
    for stub in ("apt-get", "dpkg", "dpkg-query", "python3", "systemctl"):
        shutil.copy(HERE / "stubs" / stub, programs / stub)
    shutil.copy(HERE / "stubs/jupyter-lab", crash / "jupyter-lab")
    shutil.copy(HERE / "init.py", crash)
    shutil.copy(REPOSITORY / "tests/emulator/metadata.py", crash)
    for unit in (REPOSITORY / "units").glob("*.*"):
        shutil.copy(unit, units)
    _make_seed(crash / "state")
    (crash / "metadata.json").write_text(json.dumps(metadata()))


def metadata(config: str = CONFIG) -> dict:
    return default_tree(instance={"attributes": {"agent-config": config}})


def _make_seed(seed: pathlib.Path) -> None:
    base = tree.base()
    etc = seed / "etc"
    for made in (etc / "default", etc / "systemd/system", etc / "apt/keyrings"):
        made.mkdir(parents=True)
    (etc / "apt/sources.list.d").mkdir()
    for name in KEPT_OF_ETC:
        if (base / "etc" / name).exists():
            subprocess.run(["cp", "-a", str(base / "etc" / name), str(etc)], check=True)
    shutil.copy(base / "etc/default/useradd", etc / "default")
    for name, line in {
        "passwd": f"agent-front:x:{FRONT_USER}:{FRONT_USER}::/:/usr/sbin/nologin",
        "shadow": "agent-front:!*:20000::::::",
        "group": f"agent-front:x:{FRONT_USER}:",
        "gshadow": "agent-front:!*::",
    }.items():
        with open(etc / name, "a") as file:
            file.write(line + "\n")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    for path, mode in (("home", 0o755), ("opt", 0o755), ("root", 0o700), ("var/log", 0o755)):
        (seed / path).mkdir(parents=True)
        (seed / path).chmod(mode)
    for path in ("var/lib", "var/cache", "var/tmp"):
        (seed / path).mkdir(parents=True)


# In the new namespaces: $1 the root, $2 the layer, $3 the Debian's /usr, $4 the state's disk or nothing,
# $5 the first directories, $6 images as DIRECTORY=FILE.
_MOUNT = """
set -e
mount --make-rprivate /
ip link set lo up
ip address add 169.254.169.254/32 dev lo
hostname vm-1
if [ -n "$4" ]; then mount --bind "$4" "$1"; else mount -t tmpfs -o size=8G,mode=755 state "$1"; fi
for image in $6; do
    [ "${image%%=*}" != / ] || mount -o loop "${image#*=}" "$1"
done
cd "$1"
mkdir -p $5
for image in $6; do
    [ "${image%%=*}" = / ] || mount -o loop "${image#*=}" "${image%%=*}"
done
for link in bin sbin lib lib64; do ln -sfn usr/$link $link; done
mount -t overlay -o lowerdir="$2:$3" usr usr
for directory in run stub; do mount -t tmpfs -o size=64M,mode=755 $directory $directory; done
mount -t tmpfs -o size=64M,mode=1777 tmp tmp
mount -t proc proc proc
mount -t tmpfs -o size=1M,mode=755 dev dev
for device in null zero full random urandom; do
    : > dev/$device
    mount --bind /dev/$device dev/$device
done
mknod -m 600 dev/console c 1 3
: > stub/boot_id
mount --bind stub/boot_id proc/sys/kernel/random/boot_id
mount -t proc proc /proc
exec /usr/bin/python3 usr/lib/crash/init.py "$1" "$1/stub/metadata.json"
"""


class World:
    """One machine.

    disk    a mounted directory for its state, which else is a tmpfs
    images  file systems of their own for parts of the state: {"var": file}; "/" for all of it
    """

    def __init__(
        self,
        disk: os.PathLike | str | None = None,
        config: str = CONFIG,
        images: Mapping[str, os.PathLike] | None = None,
    ):
        self._disk = str(disk) if disk else ""
        self._config = config
        self._images = images or {}
        self._process: subprocess.Popen | None = None
        self._scratch: tempfile.TemporaryDirectory | None = None
        self.root = pathlib.Path("/")

    def __enter__(self) -> "World":
        self._scratch = tempfile.TemporaryDirectory(prefix="agent-world-")
        scratch = pathlib.Path(self._scratch.name)
        try:
            make_layer(scratch / "layer")
            (scratch / "metadata.json").write_text(json.dumps(metadata(self._config)))
            self._begin(scratch)
            self.reset()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self, scratch: pathlib.Path) -> None:
        (scratch / "root").mkdir()
        mount = _MOUNT.replace(
            ": > stub/boot_id", f": > stub/boot_id\ncp {scratch}/metadata.json stub/metadata.json"
        )
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--uts"]
            + ["--fork", "--kill-child", "sh", "-c", mount, "sh", str(scratch / "root")]
            + [str(scratch / "layer"), str(tree.base() / "usr"), self._disk]
            + [" ".join(FIRST_DIRECTORIES)]
            + [" ".join(f"{place}={image}" for place, image in self._images.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard()
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        init = pathlib.Path(children).read_text().split()[0]
        # Through its process: the mounts are its own.
        self.root = pathlib.Path(f"/proc/{init}/root{scratch}/root")

    def __exit__(self, *_) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
        self._scratch.cleanup()

    @property
    def inside(self) -> str:
        """The root as the tracer, which is outside of it, names it: before a path of the machine."""
        return f"{self._scratch.name}/root"

    # What is done with it

    def run(
        self,
        tracer: Sequence[str] = (),
        timeout: float = 30,
        stop: str = "term",
        kill_at: str = "",
    ) -> Outcome:
        """`agent run` until it has settled, then SIGTERM (stop="kill": SIGKILL); or until it is dead.

        tracer      is executed outside of the machine's root, with `chroot` and the agent as its words
        kill_at     SIGKILL once a line of log() says this
        """
        return Outcome(
            **self._ask("run", tracer=list(tracer), timeout=timeout, stop=stop, kill_at=kill_at)
        )

    def execute(self, argv: Sequence[str], timeout: float = 30) -> tuple[int, str]:
        """A program in the machine, as root: its exit status and what it said."""
        done = self._ask("exec", argv=list(argv), timeout=timeout)
        return done["exit"], done["said"]

    def reset(self) -> None:
        """A machine that was never set up, just booted."""
        self._ask("reset")

    def reboot(self) -> None:
        """The same disk, nothing in /run, another boot_id; what is enabled starts."""
        self._ask("boot")

    def set_config(self, config: str) -> None:
        """As `gcloud compute instances add-metadata` does it."""
        self.metadata.set("instance/attributes/agent-config", config)

    @property
    def metadata(self) -> Control:
        """The metadata emulator's control: set, delete, get, puts, polls, fault, clear_faults."""
        return Control(str(self.root / "stub/metadata.sock"))

    def clear_log(self) -> None:
        """What the stubs did so far is forgotten."""
        (self.root / "stub/log").write_text("")

    # What is seen of it

    def log(self) -> list[str]:
        """What the stubs did, a line each: `apt-get: install done tree`."""
        return (self.root / "stub/log").read_text().splitlines()

    def status(self) -> dict | None:
        try:
            return json.loads((self.root / "run/agent/status.json").read_text())
        except FileNotFoundError:
            return None

    def ledger(self) -> dict[str, dict]:
        """{step: entry} of the files that an agent would use; Broken where one is no JSON."""
        entries = {}
        for path in sorted((self.root / "var/lib/agent/ledger").glob("[!.]*.json")):
            try:
                entries[path.stem] = json.loads(path.read_text())
            except ValueError:
                raise Broken(f"{path.name} is no JSON: {path.read_bytes()[:200]!r}") from None
        return entries

    def left_overs(self) -> list[str]:
        """Temporary files of the agent's that lie on the disk."""
        found = []
        for place in SEARCHED:
            for directory, names, files in os.walk(self.root / place):
                inside = "/" + os.path.relpath(directory, self.root)
                found += [f"{inside}/{name}" for name in (*names, *files)]
        return sorted(path for path in found if LEFT_OVERS.search(path))

    def empty_files(self) -> list[str]:
        """Files of the agent's on the disk that have no content."""
        return sorted(
            str(path.relative_to(self.root))
            for pattern in OURS
            for path in self.root.glob(pattern)
            if path.is_file() and path.stat().st_size == 0 and not NOT_OURS.search(str(path))
        )

    def check_invariants(self, converged: bool = True, apart_from: str = "") -> None:
        """What holds at any time; with `converged`, also what holds after an undisturbed run.

        apart_from      a file that may be empty
        """
        self.ledger()
        if (self.root / "run/agent/status.json").exists():
            try:
                self.status()
            except ValueError:
                raise Broken("status.json is no JSON") from None
        if empty := [path for path in self.empty_files() if path != apart_from]:
            raise Broken(f"files without content: {' '.join(empty)}")
        second = [line for line in self.log() if "second installer" in line]
        if second:
            raise Broken(f"two installers at once: {second}")
        if converged and (strays := self.left_overs()):
            raise Broken(f"temporary files are left: {' '.join(strays)}")

    # How it is told

    def _ask(self, order: str, **more) -> dict:
        self._process.stdin.write(json.dumps({"do": order, **more}) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise WorldFailed(f"the small world ended with {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorldFailed(answer["error"])
        return answer
