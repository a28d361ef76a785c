"""Owns the stand-in for a GCE VM: a Debian with a real systemd, metadata server, network and ssh.

    with Vm(bootstrap=elf, config=toml) as vm:
        report = vm.wait_settled(timeout=600)
        vm.ssh("someone", ["agent", "status"], check=False)

Several run side by side. Nothing of a VM outlives its owner, not even when the owner is killed; see
keeper.py. Must be run as root, after `tests/testbed/packages vm`.
"""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import keeper
import network
import tree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "emulator"))
from control import Control  # noqa: E402
from metadata import default_tree  # noqa: E402

SETTLED = ("ready", "degraded", "failed")


class VmFailed(Exception):
    """The VM did not do what was waited for; the message says what and where it stands."""


class CommandFailed(Exception):
    """A command in the VM ended with another status than 0; carries what it said."""

    def __init__(self, done: subprocess.CompletedProcess):
        super().__init__(
            f"{shlex.join(map(str, done.args))} exited {done.returncode}\n"
            f"{done.stdout or ''}{done.stderr or ''}"
        )
        self.done = done


class Vm:
    """One VM.

    bootstrap   the ELF that Google's runner fetches and runs at each boot, as startup-script-url
    config      the text of the instance attribute agent-config
    attributes, project_attributes      further metadata attributes
    metadata    changes to the emulator's default tree, as its default_tree() takes them
    suite       the Debian: bookworm, bullseye, trixie
    layers      what lies above the suite's tree, uppermost first; see image.py
    prepare     called with the VM's root directory before the first boot, to place files there
    artefacts   where logs are kept when the `with` block ends by an exception
    nspawn_options      further options of systemd-nspawn, such as --bind=/dev/loop0
    """

    def __init__(
        self,
        *,
        bootstrap: os.PathLike | str | None = None,
        config: str | None = None,
        attributes: Mapping[str, str] | None = None,
        project_attributes: Mapping[str, str] | None = None,
        metadata: Mapping | None = None,
        name: str = "vm-1",
        suite: str = "bookworm",
        layers: Sequence[pathlib.Path] = (),
        prepare: Callable[[pathlib.Path], None] | None = None,
        artefacts: os.PathLike | str | None = None,
        nspawn_options: Sequence[str] = (),
    ):
        self.name = name
        self.suite = suite
        self._layers = list(layers)
        self.artefacts = pathlib.Path(artefacts) if artefacts else None
        self._bootstrap = pathlib.Path(bootstrap) if bootstrap else None
        self._attributes = {"enable-guest-attributes": "TRUE", **(attributes or {})}
        if config is not None:
            self._attributes["agent-config"] = config
        self._project_attributes = dict(project_attributes or {})
        self._metadata = metadata or {}
        self._prepare = prepare
        self._nspawn_options = list(nspawn_options)
        self._keeper: subprocess.Popen | None = None
        self._network: network.Network | None = None
        self.directory: pathlib.Path | None = None

    def __enter__(self) -> "Vm":
        try:
            return self.start()
        except BaseException:
            self._save_and_stop()
            raise

    def __exit__(self, kind, *_) -> None:
        if kind:
            self._save_and_stop()
        else:
            self.stop()

    # Its life

    def start(self) -> "Vm":
        """Makes the VM, boots it and returns once ssh answers."""
        self.create()
        self.boot()
        return self

    def create(self) -> None:
        """Makes the VM's network and disk, without booting it."""
        command = ["/usr/bin/python3", str(pathlib.Path(keeper.__file__).resolve())]
        self._keeper = subprocess.Popen(
            [*command, ":".join(map(str, [*self._layers, tree.base(self.suite)]))]
            + self._nspawn_options,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        made = self._heard()
        self._network = network.Network(made["number"])
        self.directory = pathlib.Path(made["directory"])
        self._furnish()
        if self._prepare:
            self._prepare(self.root)

    def boot(self, timeout: float = 60) -> None:
        """Boots the VM on its disk; returns once ssh answers."""
        self._tell("boot")
        self.wait_ssh(timeout)

    def reboot(self, timeout: float = 180) -> None:
        """Restarts the VM as its own systemd does it: the same disk, a new boot_id."""
        boots = self._state()["boots"]
        self.run(["systemctl", "reboot"])
        self.wait_until(lambda: self._state()["boots"] > boots, timeout, "a reboot")
        self.wait_ssh(timeout)

    def poweroff(self, timeout: float = 180) -> None:
        """Shuts the VM down as its own systemd does it. `boot` starts it again."""
        self.run(["systemctl", "poweroff"])
        self.wait_until(lambda: not self.is_running(), timeout, "the VM to be off")

    def cut_off(self) -> None:
        """Takes the VM's way out, its name servers with it: it reaches this machine alone."""
        self._network.cut_off()

    def kill(self) -> None:
        """Ends every process of the VM at once. `boot` starts it again on what the disk holds."""
        self._tell("kill")

    def stop(self) -> None:
        """Takes the VM away."""
        if not self._keeper:
            return
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write('{"do": "stop"}\n')
            self._keeper.stdin.close()
        self._keeper.wait()
        self._keeper.stdout.close()
        self._keeper = None

    def stay(self) -> None:
        """Lets go of the VM: it outlives the `with` block and this process, until stop_kept()."""
        self._tell("stay")
        self._keeper.stdin.close()
        self._keeper.stdout.close()
        self._keeper = None

    def is_running(self) -> bool:
        return self._state()["nspawn"] is not None

    # Where it is

    @property
    def address(self) -> str:
        return self._network.vm_address

    @property
    def host_address(self) -> str:
        """This machine, as the VM sees it."""
        return self._network.host_address

    @property
    def label(self) -> str:
        """What stop_kept() knows the VM by."""
        return self.directory.name

    @property
    def root(self) -> pathlib.Path:
        """The VM's root directory, as seen from here; what is written there appears in the VM."""
        return self.directory / "root"

    @property
    def key(self) -> pathlib.Path:
        """The private ssh key that `someone` and `admin` accept."""
        return self.directory / "key"

    def ssh_command(self, user: str) -> list[str]:
        return [
            *("ssh", "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={self.directory}/known_hosts", "-o", "LogLevel=ERROR"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10", "-F", "none"),
            f"{user}@{self.address}",
        ]

    def serve(self, path: os.PathLike | str, name: str | None = None) -> str:
        """Makes a file of this machine available to the VM; returns its URL."""
        name = name or pathlib.Path(path).name
        shutil.copyfile(path, self.directory / "www" / name)
        return f"http://{self.host_address}:{keeper.WEB_PORT}/{name}"

    def enter_network(self, command: Sequence[os.PathLike | str]) -> list[str]:
        """The command that runs a program of this machine in the VM's network."""
        return self._network.enter([str(word) for word in command])

    # What is done in it

    def ssh(self, user: str, argv: Sequence[str], **how) -> subprocess.CompletedProcess:
        """Runs a command over ssh as `someone` (no sudo) or `admin` (sudo); see run()."""
        return self._run([*self.ssh_command(user), shlex.join(argv)], **how)

    def run(self, argv: Sequence[str], **how) -> subprocess.CompletedProcess:
        """Runs a command as root, without ssh.

        input    text for its standard input, which is empty otherwise
        timeout  in seconds, 60 unless told; subprocess.TimeoutExpired after it
        check    False: a status other than 0 is returned and does not raise CommandFailed
        """
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        clean += ["HOME=/root", "LANG=C.UTF-8"]
        return self._run(["nsenter", "-t", str(self._leader()), "-a", *clean, *argv], **how)

    def authorize(self, user: str) -> None:
        """Lets ssh("USER") in: adds the VM's key to what the user accepts."""
        public = self.key.with_suffix(".pub").read_text()
        self.run(
            ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "sh", "-c"]
            + ['umask 077; cd "$1" && mkdir -p .ssh && cat >> .ssh/authorized_keys', "sh"]
            + [self.run(["getent", "passwd", user]).stdout.split(":")[5]],
            input=public,
        )

    def boot_id(self) -> str:
        return self.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()

    def journal(self, unit: str | None = None) -> str:
        """The journal of every boot, or one unit's part of it."""
        of_unit = ["--unit", unit] if unit else []
        return self.run(["journalctl", "--no-pager", "--output=short-iso", *of_unit]).stdout

    def systemd_state(self, timeout: float = 120) -> str:
        """`running` or `degraded`, once systemd has finished its start."""
        done = self.run(["systemctl", "is-system-running", "--wait"], timeout=timeout, check=False)
        return done.stdout.strip()

    # The world around it

    @property
    def metadata(self) -> Control:
        """The metadata emulator's control: set, delete, get, puts, polls, fault, clear_faults."""
        return Control(str(self.directory / "metadata.sock"))

    def set_attribute(self, key: str, value: str) -> None:
        """As `gcloud compute instances add-metadata` does it."""
        self.metadata.set(f"instance/attributes/{key}", value)

    def delete_attribute(self, key: str) -> None:
        self.metadata.delete(f"instance/attributes/{key}")

    def guest_attributes(self) -> dict[str, str]:
        """{"NAMESPACE/KEY": value}, as read from outside the VM."""
        return self.metadata.guest_attributes()

    def report(self) -> dict | None:
        """The agent's report as the world outside the VM reads it; None before its first."""
        text = self.guest_attributes().get("agent/report")
        return json.loads(text) if text else None

    # Waiting

    def wait_until(self, condition: Callable[[], object], timeout: float, what: str) -> object:
        """The first true answer of `condition`; VmFailed when there is none in time."""
        deadline = time.monotonic() + timeout
        while not (answer := condition()):
            if self._keeper and self._keeper.poll() is not None:
                raise VmFailed(f"the VM's keeper ended while waiting for {what}")
            if time.monotonic() > deadline:
                raise VmFailed(f"waited {timeout:.0f} s in vain for {what} in {self.name}")
            time.sleep(0.1)
        return answer

    def wait_settled(self, timeout: float = 600, states: Sequence[str] = SETTLED) -> dict:
        """The agent's report of this boot, once its state is one of `states`."""
        boot_id = self.boot_id()

        def settled() -> dict | None:
            report = self.report()
            if report and report["boot_id"] == boot_id and report["state"] in states:
                return report
            return None

        try:
            return self.wait_until(settled, timeout, f"the agent to be {' or '.join(states)}")
        except VmFailed as problem:
            report = self.report()
            stands = f"{report['state']}: {report['summary']}" if report else "nothing reported"
            raise VmFailed(f"{problem}; the last report is {stands}") from None

    def wait_ssh(self, timeout: float = 60) -> None:
        def answers() -> bool:
            if not self.is_running():
                console = (self.directory / "console.log").read_text(errors="replace")
                raise VmFailed(f"{self.name} went down as it booted:\n{console[-2000:]}")
            return self.ssh("admin", ["true"], check=False).returncode == 0

        self.wait_until(answers, timeout, "ssh")

    # What is left of it

    def save_artefacts(self, directory: os.PathLike | str) -> pathlib.Path:
        """Copies journal, console, metadata log and the agent's own logs out of the VM."""
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("console.log", "metadata.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self.directory / name, directory / name)
        with contextlib.suppress(Exception):
            (directory / "journal.log").write_text(self.journal())
        for path in ("var/log/agent", "run/agent", "var/lib/agent"):
            if (self.root / path).is_dir():
                subprocess.run(["cp", "-a", str(self.root / path), str(directory)], check=False)
        return directory

    def _save_and_stop(self) -> None:
        try:
            if self.artefacts and self.directory:
                print(f"logs of {self.name} are in {self.save_artefacts(self.artefacts)}")
        finally:
            self.stop()

    def _furnish(self) -> None:
        """Gives the disk what makes it this VM: a name, an identity and people's ssh keys."""
        _keygen(self.key, "someone and admin")
        host_key = self.root / "etc/ssh/ssh_host_ed25519_key"
        _keygen(host_key, self.name)
        public = host_key.with_suffix(".pub").read_text()
        (self.directory / "known_hosts").write_text(f"{self.address} {public}")
        for user, number in tree.PEOPLE.items():
            directory = self.root / "home" / user / ".ssh"
            directory.mkdir(mode=0o700)
            keys = directory / "authorized_keys"
            shutil.copyfile(self.key.with_suffix(".pub"), keys)
            for path in (directory, keys):
                os.chown(path, number, number)
        etc = self.root / "etc"
        # It waits for a terminal that is not there, and meanwhile keeps what systemd had open.
        console = etc / "systemd/system/console-getty.service"
        console.unlink(missing_ok=True)
        console.symlink_to("/dev/null")
        (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "resolv.conf").unlink(missing_ok=True)
        (etc / "resolv.conf").write_text(tree.machine.resolver())
        full_name = f"{self.name}.us-central1-a.c.example-project.internal"
        (etc / "hosts").write_text(
            "127.0.0.1 localhost\n"
            "::1 localhost ip6-localhost ip6-loopback\n"
            f"{network.METADATA_ADDRESS} metadata.google.internal metadata\n"
            f"{self.address} {full_name} {self.name}\n"
            # Google's runner of startup scripts first waits for this name, whatever it fetches.
            f"{self.host_address} storage.googleapis.com\n"
        )
        if self._bootstrap:
            self._attributes["startup-script-url"] = self.serve(self._bootstrap, "bootstrap")
        (self.directory / "metadata.json").write_text(json.dumps(self._metadata_tree(full_name)))

    def _metadata_tree(self, full_name: str) -> dict:
        made = default_tree(
            instance={
                "attributes": self._attributes,
                "hostname": full_name,
                "id": uuid.uuid4().int >> 64,
                "name": self.name,
            },
            project={"attributes": self._project_attributes},
        )
        made["instance"]["network-interfaces"][0] |= {
            "access-configs": [{"external-ip": self.address, "type": "ONE_TO_ONE_NAT"}],
            "gateway": self.host_address,
            "ip": self.address,
            "mac": self._network.hardware_address,
            "subnetmask": "255.255.255.0",
        }
        return _merged(made, self._metadata)

    def _leader(self) -> int:
        """The VM's first process, by its number on this machine."""
        nspawn = self._state()["nspawn"]
        if nspawn is None:
            raise VmFailed(f"{self.name} is not running")
        with contextlib.suppress(FileNotFoundError):
            for child in _children(nspawn):
                for grandchild in _children(child):
                    return grandchild
        raise VmFailed(f"{self.name} has no first process yet")

    def _run(
        self,
        command: Sequence[str],
        *,
        input: str | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command,
            input=input or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise CommandFailed(done)
        return done

    def _state(self) -> dict:
        return json.loads((self.directory / "state.json").read_text())

    def _tell(self, what: str) -> dict:
        self._keeper.stdin.write(json.dumps({"do": what}) + "\n")
        self._keeper.stdin.flush()
        return self._heard()

    def _heard(self) -> dict:
        line = self._keeper.stdout.readline()
        answer = json.loads(line) if line else {"error": "its keeper ended"}
        if "error" in answer:
            raise VmFailed(f"{self.name}: {answer['error']}")
        return answer


def stop_kept(label: str, timeout: float = 30) -> None:
    """Takes away a VM that outlived its owner."""
    directory = keeper.VMS / label
    if not keeper.is_kept(directory):
        raise VmFailed(f"no VM named {label} is running here")
    os.kill(json.loads((directory / "state.json").read_text())["keeper"], signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while keeper.is_kept(directory):
        if time.monotonic() > deadline:
            raise VmFailed(f"{label} did not end in {timeout:.0f} s")
        time.sleep(0.1)


def _children(process: int) -> list[int]:
    text = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in text.split()]


def _keygen(path: pathlib.Path, comment: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _merged(tree_part: dict, changes: Mapping) -> dict:
    for key, value in changes.items():
        if value is None:
            tree_part.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(tree_part.get(key), dict):
            _merged(tree_part[key], value)
        else:
            tree_part[key] = value
    return tree_part
