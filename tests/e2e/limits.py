#!/usr/bin/python3
"""Proves that a setup which hangs or fails ends, is told of, and powers the VM off where it shall.

Each VM is a life of a few minutes, and all are lived side by side, since most of it is waiting. The
limits are the shortest that a configuration may set.
"""

import concurrent.futures
import contextlib
import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time
import unittest

import support
from support import INSTALLED, PATIENCE, Vm, wait_for

GRACE = 60  # seconds, as `grace = "1m"`
MINUTE = 60
# What looks, restarts and a shutdown may add on a machine that is busy with all of them and others.
LATE = 180

STOPPING = '[limits]\non_failure = "stop"\ngrace = "1m"\n'
NO_PYTHON = '[python]\nkind = "none"\n'
# It fails at once, and no trying helps.
KEYLESS = """
[[apt.repository]]
name = "keyless"
url = "http://localhost/apt"
suite = "stable"
components = ["main"]
keyring = "/usr/share/keyrings/there-is-none.gpg"
"""
BROKEN = f"schema = 1\n{NO_PYTHON}{KEYLESS}{STOPPING}"
GROUP = "projects/123/zones/us-central1-a/instanceGroupManagers/workers"


class Drip:
    """A web server that answers with a byte every other second, for ever."""

    def __init__(self, address: str):
        self._socket = socket.create_server((address, 0))
        self.port = self._socket.getsockname()[1]
        self._ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "Drip":
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._drip, args=[client], daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not self._ended.wait(2):
                client.sendall(b"x")


class Terminal:
    """Somebody who sits at a terminal, over ssh."""

    def __init__(self, vm: Vm):
        self._master, slave = pty.openpty()
        command = vm.ssh_command("someone")
        self._ssh = subprocess.Popen(
            [command[0], "-tt", *command[1:]], stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_) -> None:
        self._ssh.kill()
        self._ssh.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read(self) -> str:
        """Everything that it has shown so far."""
        with contextlib.suppress(OSError):
            while select.select([self._master], [], [], 0)[0]:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
        return self.shown


class Life(unittest.TestCase):
    """One VM's; its failure is raised where the thread is asked for its result."""

    def __init__(self, name: str):
        super().__init__("live")
        self.name = name
        self.begun = time.monotonic()

    def say(self, line: str) -> None:
        print(f"{self.name}: {time.monotonic() - self.begun:5.1f} s  {line}")

    def live(self) -> None:
        getattr(self, self.name)()

    @contextlib.contextmanager
    def vm(self, config: str | None, **more):
        kept = support.artefacts(f"limits_{self.name}")
        vm = Vm(
            name=f"vm-{self.name.replace('_', '-')}",
            bootstrap=support.BOOTSTRAP,
            config=config,
            artefacts=kept,
            **more,
        )
        with vm:
            self.say("is up")
            yield vm

    def failed(self, vm: Vm) -> dict:
        report = vm.wait_settled(timeout=PATIENCE)
        self.assertEqual(report["state"], "failed", report)
        self.failed_at = time.monotonic()
        self.say(report["summary"])
        return report

    def told(self, vm: Vm, words: str) -> dict:
        """The report, once its summary has these words."""

        def says() -> dict | None:
            report = vm.report()
            return report if report and words in report["summary"] else None

        return wait_for(says, f"the report to say {words!r}", timeout=PATIENCE)

    def goes_off(self, vm: Vm, within: float) -> float:
        """Waits for it; how long that took."""
        start = time.monotonic()
        wait_for(lambda: not vm.is_running(), "the VM to power off", timeout=within)
        self.say("is off")
        return time.monotonic() - start

    def stays_up(self, vm: Vm, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertTrue(vm.is_running(), "it has powered off")
            time.sleep(0.5)

    # The lives

    def hung(self) -> None:
        """A setup that hangs ends in its time, however often its daemon is killed, and costs no more."""
        with self.vm(None, attributes={}) as vm, Drip(vm.host_address) as mirror:
            repository = (
                f'[[apt.repository]]\nname = "slow"\nurl = "http://{vm.host_address}:{mirror.port}/apt"\n'
                'suite = "stable"\ncomponents = ["main"]\n'
                'keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"\n'
            )
            vm.set_attribute("agent-config", f'schema = 1\n{NO_PYTHON}{STOPPING}setup = "1m"\n{repository}')
            wait_for(lambda: self.runs(vm, "apt_repositories"), "the step to hang")
            begun = time.monotonic()
            for how in (["systemctl", "kill", "-s", "KILL", "agent"], ["systemctl", "restart", "agent"]):
                time.sleep(15)
                vm.run(how)
                self.say(how[1])
                wait_for(lambda: self.runs(vm, "apt_repositories"), "the step to hang again")
            report = self.told(vm, "not done within its limit of 60 s")
            took = time.monotonic() - begun
            self.say(report["summary"])
            self.assertLess(took, MINUTE + 30)
            self.assertGreater(took, MINUTE - 15)
            self.assertEqual(report["problem"]["step"], "apt_repositories")
            self.assertEqual(report["state"], "failed")
            self.told(vm, "powers off at ")
            processes = vm.run(["ps", "-e", "-o", "args"]).stdout
            self.assertNotIn("apt-get", processes)
            self.goes_off(vm, within=GRACE + LATE)
            states = [put["value"] for put in support.agent_writes(vm) if put["path"].endswith("/state")]
            self.assertEqual(states[-2:], ["failed", "stopping"])
            report = vm.report()
            self.assertIn("powers off now", report["summary"])
            self.assertIn("not done within its limit of 60 s", report["problem"]["message"])

    def runs(self, vm: Vm, step: str) -> bool:
        status = support.status_json(vm)
        return any(one["id"] == step and one["state"] == "running" for one in status.get("steps", []))

    def failed_for_good(self) -> None:
        """It says at once when it will stop, whatever happens to its daemon, and does so then."""
        with self.vm(BROKEN) as vm:
            self.failed(vm)
            report = self.told(vm, "powers off at ")
            self.assertRegex(report["summary"], r"^failed \(powers off at \d\d:\d\d UTC unless held\): ")
            self.assertRegex(
                report["problem"]["next"],
                r"^it powers off at \d\d:\d\d UTC unless held: `agent hold 2h`; ",
            )
            self.assertIn("unless held: `agent hold", support.status(vm).stdout)
            console = (vm.directory / "console.log").read_text(errors="replace")
            self.assertIn("agent: failed (powers off at", console)
            for how in (["systemctl", "kill", "-s", "KILL", "agent"], ["systemctl", "restart", "agent"]):
                vm.run(how)
            # It may not begin again: a minute's notice from the restarts on is the most it gets.
            off = self.goes_off(vm, within=GRACE + LATE) and time.monotonic() - self.failed_at
            self.assertGreater(off, GRACE - 10)

    def misconfigured(self) -> None:
        """What cannot be set up at all does not stay up either; a right configuration saves it."""
        with self.vm(f"schema = 1\n{STOPPING}[python]\nkind = 9\n") as vm:
            self.failed(vm)
            self.told(vm, "powers off at ")
            vm.set_attribute("agent-config", f"schema = 1\n{STOPPING}{NO_PYTHON}")
            self.assertEqual(vm.wait_settled(timeout=PATIENCE, states=["ready"])["problem"], None)
            self.say("is ready")
            self.stays_up(vm, GRACE + 30)
            self.assertEqual(support.status_json(vm)["state"], "ready")

    def held(self) -> None:
        """A hold is obeyed, also by the next daemon; its end is a minute away at least."""
        with self.vm(BROKEN) as vm:
            self.failed(vm)
            vm.ssh("admin", ["agent", "hold", "2h"])
            self.told(vm, "unless held longer")
            self.stays_up(vm, 15)
            vm.run(["systemctl", "kill", "-s", "KILL", "agent"])
            self.stays_up(vm, GRACE + 15)
            self.assertIn("held up until ", support.status(vm).stdout)
            vm.ssh("admin", ["agent", "release"])
            self.say("is released")
            self.assertGreater(self.goes_off(vm, within=MINUTE + LATE), MINUTE - 5)

    def typed(self) -> None:
        """Whoever types at a terminal is told, and is not cut off."""
        with self.vm(f"schema = 1\n{NO_PYTHON}") as vm, Terminal(vm) as terminal:
            wait_for(lambda: "$" in terminal.read(), "the shell's prompt", timeout=LATE)
            vm.set_attribute("agent-config", BROKEN)
            self.told(vm, "powers off at ")
            wait_for(lambda: "This machine powers off at " in terminal.read(), "the warning", timeout=LATE)
            end = time.monotonic() + 2 * GRACE
            while time.monotonic() < end:
                terminal.type("true\n")
                self.stays_up(vm, 10)
            self.assertIn("its setup has failed: ", terminal.read())
            self.say("nobody types any more")
            self.goes_off(vm, within=GRACE + LATE)

    def lifetime(self) -> None:
        """A machine that is ready stops all the same, and says so before."""
        config = f'schema = 1\n{NO_PYTHON}[limits]\nsetup = "1m"\nlifetime = "2m"\n'
        with self.vm(config) as vm:
            booted = time.monotonic()
            self.assertEqual(vm.wait_settled(timeout=PATIENCE)["state"], "ready")
            self.say(self.told(vm, "; powers off at ")["summary"])
            self.assertRegex(support.status(vm).stdout, r"it powers off at \d\d:\d\d UTC unless held")
            vm.run(["systemctl", "kill", "-s", "KILL", "agent"])
            self.goes_off(vm, within=2 * MINUTE + LATE)
            self.assertGreater(time.monotonic() - booted, 2 * MINUTE - 30)

    def group(self) -> None:
        """What an instance group would replace stays up, and says why: failed, and past its lifetime."""
        config = BROKEN + 'lifetime = "2m"\n'
        with self.vm(config, attributes={"created-by": GROUP}) as vm:
            self.failed(vm)
            report = self.told(vm, "stays up, for instance group workers would replace it")
            self.assertIn("it does not power off although its setup", report["problem"]["next"])
            vm.metadata.down()
            vm.run(["systemctl", "restart", "agent"])
            self.stays_up(vm, 2 * MINUTE + 15)
            self.assertNotIn("powers off", support.status(vm).stdout)


class Limits(unittest.TestCase):
    def test_every_life_ends_as_it_shall(self):
        lives = ["hung", "failed_for_good", "misconfigured", "held", "typed", "lifetime", "group"]
        chosen = [life for life in lives if life in sys.argv[1:]] or lives
        with concurrent.futures.ThreadPoolExecutor(len(chosen)) as together:
            found = {life: together.submit(Life(life).live) for life in chosen}
        for life, outcome in found.items():
            with self.subTest(life):
                outcome.result()


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)
