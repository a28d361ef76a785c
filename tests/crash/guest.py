#!/usr/bin/python3
"""Owns the true VM in which memory, clock and link are disturbed: one boot for all of them.

usage: guest.py MODULE…     runs those test modules, in this order, in one VM

It is born from an image that has Jupyter, so no registry is asked, and its clock says 2015 at first:
what is not about that sets the clock right and goes on.
"""

import contextlib
import pathlib
import re
import sys
import time
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/e2e"))
import support  # noqa: E402

import image  # noqa: E402  (the testbed's)
from notebook_client import Jupyter  # noqa: E402
from qemu import QemuVm  # noqa: E402

PATIENCE = 300  # seconds for what takes ten on an idle machine
WRONG_CLOCK = "2015-06-01 12:00:00"
# systemd never lets a clock be older than systemd itself: it is put back after that, as by an RTC
# that is read late. Once a boot: an agent that is restarted meets the clock as it is.
SET_CLOCK_BACK = (
    "[Service]\nExecStartPre=/bin/sh -c "
    f"'test -e /run/clock-was-wrong || date --set \"{WRONG_CLOCK}\" > /run/clock-was-wrong'\n"
)
IMAGE_PACKAGES = ["jupyterlab"]
PACKAGES = "python_packages"
SERVICES = ("agent", "agent-front", "agent-jupyter")


class Debian(QemuVm):
    def ssh_command(self, user: str) -> list[str]:
        # One session for all commands of a user: to agree on keys takes a guest longer than most of them.
        shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes"]
        shared += ["-o", f"ControlPath={self.directory}/ssh-{user}"]
        program, *options = super().ssh_command(user)
        return [program, *shared, *options]


class Guest:
    """The VM, and what the tests ask of it."""

    def __init__(self):
        began = time.monotonic()
        self._password_hash = support.make_password()[1]
        layer = image.provisioned(support.BOOTSTRAP, support.config(IMAGE_PACKAGES))
        self.vm = Debian(
            name="guest",
            config=self.config(),
            layers=[layer],
            memory="1G",
            prepare=_set_clock_back,
        )
        self._certificate: support.Certificate | None = None
        try:
            self.vm.create()
            self.vm.boot(timeout=2 * PATIENCE)
        except BaseException:
            self.vm.stop()
            raise
        print(f"a Debian in QEMU is up after {time.monotonic() - began:.0f} s", flush=True)

    def end(self) -> None:
        self.vm.stop()

    def config(self, *more_packages: str) -> str:
        return support.config([*IMAGE_PACKAGES, *more_packages], self._password_hash)

    # What is seen of it

    def sh(self, script: str, check: bool = True) -> str:
        return self.vm.run(["sh", "-c", script], timeout=PATIENCE, check=check).stdout.strip()

    def status(self) -> dict:
        return support.status_json(self.vm)

    def said(self, status: int = 0) -> str:
        """What `agent status` says to people, and exits with."""
        done = self.vm.run(["agent", "status"], check=False, timeout=PATIENCE)
        if done.returncode != status:
            raise AssertionError(f"agent status exited with {done.returncode}: {done.stdout}")
        return done.stdout

    def step(self, name: str) -> dict:
        return next((step for step in self.status().get("steps", []) if step["id"] == name), {})

    def await_state(self, *states: str) -> dict:
        """The status, once it is of a living daemon and in one of these states."""

        def settled() -> dict | None:
            status = self.status()
            return status if status.get("state") in states else None

        return support.wait_for(settled, f"the state {' or '.join(states)}", PATIENCE, 0.5)

    def await_first_ready(self) -> dict:
        """The status, once the boot has ended well."""
        while True:
            status = self.await_state("ready", "failed")
            if status["state"] == "ready":
                return status
            # Emulated, on a machine that does much else, Jupyter can miss its two minutes.
            if status["problem"]["step"] != "jupyter_unit":
                raise AssertionError(f"the boot failed: {status['problem']}")
            self.vm.run(["agent", "retry"], timeout=PATIENCE)
            self.await_state("provisioning")

    def lives(self) -> dict[str, str]:
        """Of each service its process and how often systemd had to restart it."""
        shown = self.sh(f"systemctl show --property MainPID,NRestarts {' '.join(SERVICES)}")
        return dict(zip(SERVICES, shown.split("\n\n"), strict=True))

    def kills(self, unit: str) -> int:
        """How many of the service's processes the kernel has killed for lack of memory."""
        events = self.sh(f"cat /sys/fs/cgroup/system.slice/{unit}.service/memory.events")
        return int(re.search(r"^oom_kill (\d+)$", events, re.M)[1])

    @property
    def certificate(self) -> support.Certificate:
        if not self._certificate:
            self._certificate = support.Certificate(self.vm)
        return self._certificate

    def get(self, path: str) -> tuple[int, str]:
        return support.get(self.vm, self.certificate, path)

    def jupyter(self) -> Jupyter:
        token = self.sh("cat /var/lib/agent/front/token")
        return Jupyter(self.vm.address, support.PORT, self.certificate.trusted, token)

    # What is done to it

    def set_right(self) -> None:
        """Waits until it is ready, with a clock that is right."""
        self.sh(f"date --set @{int(time.time())}")
        self.await_first_ready()

    def limit_memory(self, unit: str, limit: str) -> None:
        self.vm.run(["systemctl", "set-property", "--runtime", f"{unit}.service", f"MemoryMax={limit}"])

    @contextlib.contextmanager
    def memory_limited(self, unit: str, limit: str):
        self.limit_memory(unit, limit)
        try:
            yield
        finally:
            self.limit_memory(unit, "infinity")

    def ask_for(self, *packages: str) -> None:
        """Another configuration, with these packages as well; returns once it has been taken over."""
        before = self.status()["config_sha256"]
        self.vm.set_attribute("agent-config", self.config(*packages))
        taken_over = lambda: self.status().get("config_sha256") not in (before, None)  # noqa: E731
        support.wait_for(taken_over, "the new configuration", PATIENCE, 0.5)

    def replace_uv(self, script: str) -> None:
        """From now on the agent finds this program where it put uv; it runs as Jupyter's user."""
        place = self.sh("ls -d /var/lib/agent/tools/uv-*/uv")
        self.vm.run(["sh", "-c", f"cat > {place}.new && chmod 755 {place}.new && mv {place}.new {place}"],
                    input=script)


def _set_clock_back(root: pathlib.Path) -> None:
    drop_ins = root / "etc/systemd/system/agent.service.d"
    drop_ins.mkdir(parents=True, exist_ok=True)
    (drop_ins / "clock.conf").write_text(SET_CLOCK_BACK)


_guest: Guest | None = None


def shared() -> Guest:
    """The one VM of this process; it ends with it."""
    global _guest
    if not _guest:
        _guest = Guest()
    return _guest


def run(modules: list[str]) -> int:
    """Runs the test modules in one VM; the exit status. What went wrong leaves the VM's logs."""
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    began = time.monotonic()
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromName(module) for module in modules
    )
    result = unittest.TextTestRunner().run(suite)
    if _guest:
        if not result.wasSuccessful():
            print(f"logs are in {_guest.vm.save_artefacts(support.artefacts('guest'))}")
        _guest.end()
    rows = " ".join(sys.modules[module].ROWS for module in modules)
    print(f"{result.testsRun} tests in a Debian under QEMU in {time.monotonic() - began:.0f} s: {rows}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.modules["guest"] = sys.modules["__main__"]  # the modules share this one's VM
    sys.exit(run(sys.argv[1:]))
