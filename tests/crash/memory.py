#!/usr/bin/python3
"""Proves what lack of memory does: a kernel, an installer or the agent itself is killed for it, and
nothing else is lost. In a true VM: only there the kernel holds memory limits. Covers F10."""

import sys
import unittest

import guest
from guest import PACKAGES, PATIENCE, support

from notebook_client import KernelDied

ROWS = "F10"
# Python's pages are zero until they are written to, so it writes.
EAT = "hoard = []\nwhile True: hoard.append(b'x' * (8 << 20))"
EATEN = "/run/eat-memory"  # while it is there, the installer takes all the memory that it gets
# What stands in for uv: it installs what is asked for by name, and keeps account of it.
INSTALLER = f"""#!/usr/bin/python3
import os, pathlib, sys, time
if sys.argv[1] == "cache":  # What an installation that was cut short asks for first.
    sys.exit()
log = open("/tmp/installer.log", "a", buffering=1)
print("begins", file=log)
if os.path.exists("{EATEN}"):
    {EAT.replace(chr(10), chr(10) + "    ")}
while os.path.exists("/run/wait"):
    time.sleep(0.1)
prefix = pathlib.Path(sys.argv[sys.argv.index("--python") + 1]).parent.parent
site = next(prefix.glob("lib/python*/site-packages"))
for name in open(sys.argv[sys.argv.index("--requirements") + 1]).read().split():
    if not list(site.glob(f"{{name.replace('-', '_')}}-*.dist-info")):
        information = site / f"{{name.replace('-', '_')}}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: 1.0\\n")
        print("installed", name, file=log)
"""


class LackOfMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guest = guest.shared()
        cls.guest.set_right()

    def test_1_limits_hold_here(self):
        """Else what follows would pass without proving anything."""
        self.assertEqual(self.guest.sh("stat -fc %T /sys/fs/cgroup"), "cgroup2fs")
        script = "import sys\nx = b'x' * (100 << 20)\nsys.exit(7)"
        unit = ["systemd-run", "--quiet", "--wait", "--pipe", "-p"]
        fits = self.guest.vm.run(
            [*unit, "MemoryMax=200M", "python3", "-c", script], check=False, timeout=PATIENCE
        )
        self.assertEqual(fits.returncode, 7)
        killed = self.guest.vm.run(
            [*unit, "MemoryMax=50M", "python3", "-c", script], check=False, timeout=PATIENCE
        )
        self.assertNotIn(killed.returncode, (0, 7))

    def test_2_a_kernel_that_takes_all_memory_dies_alone(self):
        lives, kills = self.guest.lives(), self.guest.kills("agent-jupyter")
        jupyter = self.guest.jupyter()
        with jupyter.kernel() as bystander, jupyter.kernel() as glutton:
            bystander.run("kept = 42", timeout=PATIENCE)
            with self.assertRaises(KernelDied):
                glutton.run(EAT, timeout=PATIENCE)
            self.assertEqual(bystander.run("kept", timeout=PATIENCE), "42")
        self.assertEqual(self.guest.kills("agent-jupyter"), kills + 1)
        # By the limit that the agent set: the rest of the machine never lacked any.
        self.assertIn("oom_memcg=/system.slice/agent-jupyter.service", self.guest.sh("dmesg"))
        self.assertEqual(self.guest.lives(), lives)
        self.assertEqual(self.guest.status()["state"], "ready")
        self.assertEqual(self.guest.get("/api/contents")[0], 403)

    def test_3_an_installer_that_is_killed_is_tried_again_and_the_reason_is_told(self):
        lives = self.guest.lives()
        self.guest.sh(f"touch {EATEN}")
        self.guest.replace_uv(INSTALLER)
        with self.guest.memory_limited("agent", "120M"):
            self.guest.ask_for("first-package")

            def told() -> str | None:
                said = self.guest.sh(f"agent log {PACKAGES}", check=False)  # it may have none yet
                return next((line for line in said.splitlines() if "trying again: " in line), None)

            reason = support.wait_for(told, "the next attempt", PATIENCE, 0.5)
            self.guest.sh(f"rm {EATEN}")
        self.assertIn("uv was killed by SIGKILL, out of memory (memory.events: oom_kill rose by 1)",
                      reason)
        self.assertIn("oom-kill", self.guest.sh("dmesg"))
        print(reason)
        # The daemon, in the same group, was there throughout, and Jupyter with it.
        self.assertEqual(self.guest.lives(), lives)
        self.assertEqual(self.guest.get("/api/contents")[0], 403)

        self.guest.await_state("ready")
        self.assertEqual(self.guest.step(PACKAGES)["state"], "applied")
        installed = self.guest.sh("grep -c installed /tmp/installer.log")
        self.assertEqual(installed, "1")

    def test_4_the_agent_itself_is_killed_in_mid_step_and_goes_on(self):
        lives = self.guest.lives()
        self.guest.sh("touch /run/wait; truncate --no-create --size 0 /tmp/installer.log")
        self.guest.ask_for("second-package")
        support.wait_for(lambda: self.guest.sh("cat /tmp/installer.log"), "the installer", PATIENCE, 0.5)
        certificate = self.guest.status()["certificate_sha256"]
        with self.guest.memory_limited("agent", "1M"):
            killed = lambda: self.guest.lives()["agent"] != lives["agent"]  # noqa: E731
            support.wait_for(killed, "the agent's end", PATIENCE, 0.5)
            # What it said last is not believed while it cannot live.
            said = self.guest.said(status=1)
            print(said.splitlines()[0])
            self.assertTrue(said.startswith("stale: "), said)
        self.assertEqual(self.guest.sh("pgrep -f tools/[u]v- || true"), "")
        self.guest.sh("rm /run/wait")
        ready = self.guest.await_state("ready")
        self.assertNotIn("NRestarts=0", self.guest.lives()["agent"])
        self.assertEqual(ready["certificate_sha256"], certificate)
        self.assertEqual(self.guest.step(PACKAGES)["state"], "applied")
        self.assertEqual(self.guest.sh("cat /tmp/installer.log").splitlines(),
                         ["begins", "begins", "installed second-package"])
        after = self.guest.lives()
        for unit in ("agent-front", "agent-jupyter"):
            self.assertEqual(after[unit], lives[unit])


if __name__ == "__main__":
    sys.exit(guest.run(["memory"]))
