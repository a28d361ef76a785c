#!/usr/bin/python3
"""Proves that Jupyter is opened, and kept closed, alike from the notebook of 2019 to today's.

Real packages of each time stand in environments of their own on one VM, whose configuration names one
after the other. The tests run in the order of their numbers.
"""

import json
import subprocess
import sys
import time
import unittest

import support
from support import INSTALLED, PATIENCE, PORT, Vm, wait_for

from notebook_client import Jupyter  # the testbed's, as vm

USER = "admin"
SOCKET = "/run/agent-jupyter/jupyter.sock"
# What `agent password` makes of a password is known to these Jupyters only in the one form or the other.
ARGON2, SALTED = "argon2", "salted"
# With what stood beside it when it was new: it does not say what it is too old for, and on jupyter_client 8
# two threads work on its sockets at once.
NOTEBOOK_60 = ["notebook==6.0.3", "jupyterlab==1.2.21", "jupyter_client<8", "ipykernel<7", "pyzmq<25"]

# In the words of a stranger on the VM: comes to the socket, then takes its place.
BREAK_IN = f"""
import os, socket
for attempt in ("connect", "bind"):
    try:
        getattr(socket.socket(socket.AF_UNIX), attempt)("{SOCKET}")
    except OSError as error:
        print(attempt, type(error).__name__)
try:
    os.unlink("{SOCKET}")
except OSError as error:
    print("unlink", type(error).__name__)
"""


def config(prefix: str, interface: str, packages: list[str], password_hash: str = "") -> str:
    text = f'schema = 1\n[machine]\nuser = "{USER}"\n[python]\nprefix = "{prefix}"\n'
    text += f'packages = {json.dumps(packages)}\n[jupyter]\ninterface = "{interface}"\n'
    return text + (f'password_hash = "{password_hash}"\n' if password_hash else "")


class OldJupyter(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.password, argon2 = support.make_password()
        salted = subprocess.run(
            [support.AGENT, "password", "--for", "notebook-6.0"],
            **{"input": cls.password, "check": True, "capture_output": True, "text": True},
        )
        cls.hashes = {ARGON2: argon2, SALTED: salted.stdout.strip()}
        cls.kept = support.artefacts("old_jupyter")
        cls.vm = Vm(
            bootstrap=support.BOOTSTRAP,
            config=config("/opt/notebook-6.0", "notebook", NOTEBOOK_60, cls.hashes[SALTED]),
            artefacts=cls.kept,
        )
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, cls.kept)
        cls.vm.wait_settled(timeout=PATIENCE)

    def test_1_notebook_6_0_of_2019(self):
        self.assertEqual(self.status()["state"], "ready", self.status())
        self.prove("/opt/notebook-6.0", "notebook 6.0.3", "6.0.3", "/tree")
        # There is no port for anybody to take before it.
        self.assertEqual(self.listeners(), [])

    def test_2_jupyterlab_1_on_it(self):
        self.converge(config("/opt/notebook-6.0", "lab", NOTEBOOK_60, self.hashes[SALTED]))
        self.prove("/opt/notebook-6.0", "JupyterLab 1.2.21 on notebook 6.0.3", "6.0.3", "/lab")

    def test_3_a_password_that_it_would_not_understand(self):
        # Nothing in the configuration says which notebook it is.
        status = self.converge(
            config("/opt/notebook-6.0", "notebook", ["notebook"], self.hashes[ARGON2]), "failed"
        )
        self.assertEqual(status["problem"]["step"], "jupyter_config")
        self.assertEqual(status["problem"]["kind"], "misconfigured")
        self.assertIn("notebook 6.0.3 does not understand", status["problem"]["message"])
        self.assertIn("agent password --for notebook-6.0", status["problem"]["next"])
        told = json.dumps([status, support.agent_writes(self.vm), self.vm.journal()])
        self.assertNotIn(self.hashes[ARGON2].rsplit("$", 1)[1], told)
        # Set on the machine, it is of the form that this machine's Jupyter reads.
        self.converge(config("/opt/notebook-6.0", "notebook", ["notebook"]))
        self.vm.run([INSTALLED, "password", "--set"], input=self.password)
        drop_in = self.vm.root / "etc/agent/agent.d/90-password.toml"
        self.assertIn('password_hash = "sha256:', drop_in.read_text())
        self.wait_ready()
        self.prove("/opt/notebook-6.0", "notebook 6.0.3", "6.0.3", "/tree")
        drop_in.unlink()

    def test_4_notebook_6_4(self):
        # It does not start with later traitlets.
        packages = ["notebook==6.4.12", "traitlets<5.10", "jupyter_client>=8"]
        self.converge(config("/opt/notebook-6.4", "notebook", packages, self.hashes[ARGON2]))
        self.prove("/opt/notebook-6.4", "notebook 6.4.12", "6.4.12", "/tree", kernels=5)

    def test_5_jupyterlab_3(self):
        packages = ["jupyterlab==3.6.8", "jupyter_server<2"]
        self.converge(config("/opt/lab-3", "lab", packages, self.hashes[ARGON2]))
        self.prove("/opt/lab-3", "JupyterLab 3.6.8 on jupyter_server 1.", "1.", "/lab")

    def test_6_todays_lab_and_notebook(self):
        packages = ["jupyterlab>=4", "notebook>=7"]
        self.converge(config("/opt/today", "lab", packages, self.hashes[ARGON2]))
        self.prove("/opt/today", "JupyterLab 4.", "2.", "/lab")
        self.converge(config("/opt/today", "notebook", packages, self.hashes[ARGON2]))
        self.prove("/opt/today", "notebook 7.", "2.", "/tree")

    def prove(self, prefix: str, name: str, version: str, page: str, kernels: int = 1) -> None:
        start = time.monotonic()
        with self.subTest("which Jupyter it is"):
            reason = next(s["reason"] for s in self.status()["steps"] if s["id"] == "jupyter_config")
            self.assertTrue(reason.startswith(name), reason)
        certificate = support.Certificate(self.vm)
        token = self.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
        jupyter = Jupyter(self.vm.address, PORT, certificate.trusted, token)
        with self.subTest("who gets in"):
            self.assertEqual(support.get(self.vm, certificate, "/api/contents")[0], 403)
            self.assertEqual(jupyter.log_in("not " + self.password), 401)
            self.assertEqual(jupyter.log_in(self.password), 302)
            self.assertTrue(jupyter.ask("GET", "/api")["version"].startswith(version))
            self.assertEqual(jupyter.request("GET", page)[0], 200)
        for number in range(kernels):
            with self.subTest("a kernel", number=number), jupyter.kernel() as kernel:
                self.assertEqual(kernel.run("6 * 7"), "42")
                self.assertEqual(kernel.run("import sys; sys.prefix"), f"'{prefix}'")
        with self.subTest("a terminal"), jupyter.terminal() as terminal:
            self.assertEqual(terminal.run("command -v python"), (0, f"{prefix}/bin/python"))
        with self.subTest("nobody else on the machine comes to it"):
            said = self.vm.ssh("someone", ["python3", "-c", BREAK_IN]).stdout.splitlines()
            refused = "PermissionError"
            self.assertEqual(
                said, [f"connect {refused}", f"bind {refused}", f"unlink {refused}"]
            )
        with self.subTest("agent shell"):
            self.check_shell(prefix)
        print(f"{name}: opened and tried in {time.monotonic() - start:.1f} s")

    def check_shell(self, prefix: str) -> None:
        ask = ["agent", "shell", "--", "python", "-c", "import os, sys; print(sys.prefix, os.getuid())"]
        uid = self.vm.run(["id", "-u", USER]).stdout.strip()
        for done in (self.vm.run(ask), self.vm.ssh(USER, ask)):
            self.assertEqual(done.stdout.split(), [prefix, uid])
        groups = self.vm.run(["agent", "shell", "--", "id", "-nG"]).stdout.split()
        self.assertEqual(groups, self.vm.ssh(USER, ["id", "-nG"]).stdout.split())
        done = self.vm.run(["agent", "shell", "--", "sh", "-c", "exit 7"], check=False)
        self.assertEqual(done.returncode, 7)
        # Without a command it is the user's shell.
        done = self.vm.run(["agent", "shell"], input="echo $VIRTUAL_ENV; pwd")
        self.assertEqual(done.stdout.split(), [prefix, f"/home/{USER}"])
        done = self.vm.ssh("someone", ask, check=False)
        self.assertEqual(done.returncode, 77, done)
        self.assertIn(f"only root and {USER}", done.stderr)

    def listeners(self) -> list[str]:
        """TCP sockets that a process of the machine's user listens on."""
        sockets = self.vm.run(["ss", "-Hltnp"]).stdout.splitlines()
        return [line for line in sockets if '"python' in line or '"jupyter' in line]

    def status(self) -> dict:
        return support.status_json(self.vm)

    def converge(self, text: str, state: str = "ready") -> dict:
        """What comes of another configuration."""
        before = self.status()["config_sha256"]
        start = time.monotonic()
        self.vm.set_attribute("agent-config", text)
        settled = ("ready", "degraded", "failed")
        status = wait_for(
            lambda: (s := self.status())["config_sha256"] != before and s["state"] in settled and s,
            "the other configuration",
        )
        print(f"{state} after {time.monotonic() - start:.1f} s")
        self.assertEqual(status["state"], state, status)
        return status

    def wait_ready(self) -> None:
        wait_for(lambda: self.status()["state"] == "ready", "the machine to be ready")


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
