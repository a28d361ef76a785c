#!/usr/bin/python3
"""Proves that whatever the agent is given, it says one clear sentence and leaves nothing half open.

One VM meets all of it, in the order of the tests' numbers: what it is told changes while it runs.
"""

import json
import shutil
import sys
import unittest

import support
from support import INSTALLED, PATIENCE, Vm, wait_for

PLAINTEXT = "correct-horse-battery"
# What is wrong → the text, what the problem's message and what its next action must contain.
WRONG = {
    "no TOML": ("schema = 1\n[python\n", ["agent-config:2:1", "header"], "[name]"),
    "an unknown key": (
        "schema = 1\n[python]\npakages = []\n",
        ["agent-config:3:1:", "python.pakages"],
        "`packages`",
    ),
    "a wrong type": (
        'schema = 1\n[python]\npackages = "pandas"\n',
        ["agent-config:3:12", "python.packages", "array"],
        "brackets",
    ),
    "a password for a hash": (
        f'schema = 1\n[jupyter]\npassword_hash = "{PLAINTEXT}"\n',
        ["agent-config:3:17", "jupyter.password_hash"],
        "agent password",
    ),
    "a password": (
        f'schema = 1\n[jupyter]\npassword = "{PLAINTEXT}"\n',
        ["agent-config:3:1:", "`jupyter.password`"],
        "agent password",
    ),
}


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hash = support.make_password()[1]
        cls.vm = Vm(bootstrap=support.BOOTSTRAP)
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, support.artefacts("bad_input"))

    def test_1_no_config(self):
        problem = self.failure(lambda found: "no configuration" in found["message"])
        self.assertEqual(problem["kind"], "misconfigured")
        self.assertEqual(support.status_json(self.vm)["steps"], [])
        self.assert_port_is_closed()
        self.assertNotEqual(self.vm.run(["id", "jupyter"], check=False).returncode, 0)
        self.assertFalse((self.vm.root / "opt/jupyter").exists())

    def test_2_configs_that_are_wrong(self):
        for what, (config, expected, next_action) in WRONG.items():
            with self.subTest(what):
                self.vm.set_attribute("agent-config", config)
                problem = self.failure(
                    lambda found: all(words in found["message"] for words in expected)
                )
                self.assertEqual(problem["kind"], "misconfigured")
                self.assertIn(next_action, problem["next"])
                self.assert_port_is_closed()
        told = json.dumps([support.agent_writes(self.vm), support.status_json(self.vm)])
        for place in (told, support.status(self.vm).stdout, self.vm.journal()):
            self.assertNotIn(PLAINTEXT, place)

    def test_3_no_metadata_server_at_a_boot(self):
        package = "no-such-package-xyzzy-123"
        self.vm.set_attribute("agent-config", support.config([package], self.hash))
        # Not earlier: Google's runner of shutdown scripts would wait for it for ever.
        self.vm.poweroff(timeout=PATIENCE)
        self.vm.metadata.fault(".*", "hang")
        self.vm.boot(timeout=PATIENCE)
        problem = self.failure(lambda found: "metadata" in found["message"])
        self.assertEqual(problem["kind"], "transient")
        self.assertIn("169.254.169.254", problem["next"])
        self.assert_port_is_closed()
        self.vm.metadata.clear_faults()
        wait_for(self.has_steps, "the machine to go on by itself")

    def test_4_a_python_package_that_does_not_exist(self):
        problem = self.failure(lambda found: found["step"] == "python_packages")
        self.assertIn("no-such-package-xyzzy-123", problem["message"])
        self.assertEqual(support.step_states(self.vm)["ready"], "blocked")
        certificate = support.Certificate(self.vm)
        for path in ("/", "/api/contents"):
            code, page = support.get(self.vm, certificate, path)
            self.assertEqual(code, 503)
            self.assertIn("Setting up failed: python_packages", page)
            self.assertIn("no-such-package-xyzzy-123", page)

    def test_5_a_debian_package_that_does_not_exist(self):
        more = '[apt]\npackages = ["no-such-deb-xyzzy-123"]\n'
        self.vm.set_attribute("agent-config", support.config([], self.hash, more))
        problem = self.failure(lambda found: found["step"] == "apt_packages")
        self.assertIn("no-such-deb-xyzzy-123", problem["message"])
        self.assertEqual(support.get(self.vm, support.Certificate(self.vm), "/")[0], 503)

    def test_6_who_is_not_root_and_who_comes_second(self):
        bootstrap = self.vm.root / "opt" / "bootstrap"
        shutil.copy(support.BOOTSTRAP, bootstrap)
        for command in ([INSTALLED, "run"], [INSTALLED, "config"], ["/opt/bootstrap"]):
            done = self.vm.ssh("someone", command, check=False)
            self.assertEqual(done.returncode, 77, done)
            self.assertIn("root", done.stderr)
        done = self.vm.run([INSTALLED, "run"], check=False)
        self.assertEqual(done.returncode, 4, done)
        self.assertIn(support.property_of(self.vm, "agent.service", "MainPID"), done.stderr)

    def test_7_what_was_wrong_is_put_right(self):
        self.vm.set_attribute("agent-config", support.config([], self.hash))
        wait_for(
            lambda: support.status_json(self.vm)["state"] in ("provisioning", "ready"),
            "the machine to go on without a reboot",
        )

    def test_8_who_said_what(self):
        said = self.vm.run([INSTALLED, "config"])
        origin = "# metadata:instance/attributes/agent-config:"
        self.assertRegex(said.stdout, r'(?m)^password_hash = "\*\*\*" +' + origin)
        self.assertRegex(said.stdout, r"(?m)^port = 8888 +# default$")
        self.assertNotIn(self.hash, said.stdout)
        found = json.loads(self.vm.run([INSTALLED, "config", "--json"]).stdout)
        self.assertTrue(found["valid"])
        self.assertEqual(found["sha256"], support.status_json(self.vm)["config_sha256"])
        self.vm.metadata.fault(".*", "hang")
        alone = self.vm.run([INSTALLED, "config"], check=False)
        self.vm.metadata.clear_faults()
        self.assertIn("for the files alone", alone.stderr)

    def failure(self, is_it) -> dict:
        """The problem, once it is the one meant; said by `agent status` to anybody, with exit 1."""

        def found() -> dict | None:
            status = support.status_json(self.vm)
            problem = status.get("problem")
            meant = status.get("state") == "failed" and problem and is_it(problem)
            return problem if meant else None

        problem = wait_for(found, "the failure")
        print(f"{problem['step'] or 'agent'}: {problem['message']}; next: {problem['next']}")
        said = support.status(self.vm)
        self.assertEqual(said.returncode, 1)
        self.assertTrue(said.stdout.startswith("failed for "), said.stdout)
        words = " ".join(said.stdout.split())
        self.assertIn(" ".join(problem["message"].split()), words)
        self.assertIn("next: " + " ".join(problem["next"].split()), words)
        return problem

    def assert_port_is_closed(self) -> None:
        self.assertFalse(support.accepts(self.vm))

    def has_steps(self) -> bool:
        return bool(support.status_json(self.vm).get("steps"))


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
