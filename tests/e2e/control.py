#!/usr/bin/python3
"""Proves that people can see what the agent will do and has done, and ask it to do it again.

One VM, in the order of the tests' numbers: it fails, is corrected, and is held up.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import support
from support import INSTALLED, PATIENCE, Vm, wait_for

MISSING = "no-such-deb-xyzzy-123"
PLACES = ["/etc", "/home", "/opt", "/root", "/usr/local", "/var/lib/agent", "/var/log/agent"]
SERVICE_USER = ["runuser", "-u", "jupyter", "--", INSTALLED]

# Everything that is no request, from clients that also stay, leave at once, or are too many.
GARBAGE = """
import json, socket, sys
def client():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect("/run/agent/control")
    return s
for text in (b"\\xff\\x00garbage", b"{}", b'{"version":2,"verb":"retry"}', b"x" * 5000,
             b'{"version":1,"verb":"reboot"}', b'{"version":1,"verb":"hold","seconds":-1}'):
    s = client()
    s.send(text)
    print(json.loads(s.recv(4096))["outcome"])
client().close()
silent = [client() for _ in range(2)]
s = client()
print(json.loads(s.recv(4096))["message"])
print(json.loads(silent[0].recv(4096))["message"])
"""


def config(packages: list[str]) -> str:
    return f'schema = 1\n[apt]\npackages = {json.dumps(packages)}\n[python]\nkind = "none"\n'


class Control(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vm = Vm(bootstrap=support.BOOTSTRAP, prepare=cls.prepare)
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, support.artefacts("control"))

    @staticmethod
    def prepare(root: pathlib.Path) -> None:
        (root / "etc/agent").mkdir(mode=0o755)
        (root / "etc/agent/agent.toml").write_text(config([MISSING]))

    def test_1_a_package_that_does_not_exist(self):
        self.vm.wait_settled(timeout=PATIENCE)
        status = support.status_json(self.vm)
        self.assertEqual(status["state"], "failed", status)
        self.assertIn(MISSING, status["problem"]["message"])

    def test_2_the_log_shows_what_apt_said(self):
        said = self.vm.ssh("admin", ["agent", "log", "apt_packages"]).stdout
        self.assertIn(f"Unable to locate package {MISSING}", said)
        self.assertRegex(said, r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
        self.assertIn("apt_packages ", self.vm.run([INSTALLED, "log"]).stdout)
        self.assert_refused(77, "sudo", "someone", ["agent", "log"])
        self.assert_refused(64, "apt_packages", "admin", ["agent", "log", "apt"])
        following = subprocess.Popen(
            [*self.vm.ssh_command("admin"), "agent log apt_packages -f"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(following.wait)
        self.addCleanup(following.stdout.close)
        self.addCleanup(following.kill)
        self.assertIn("due: ", following.stdout.readline())
        with (self.vm.root / "var/log/agent/apt_packages.log").open("a") as log:
            log.write("a line that comes later\n")
        wait_for(lambda: "comes later" in following.stdout.readline(), "the line to be followed")

    def test_3_the_plan_says_why_and_changes_nothing(self):
        before = support.manifest(self.vm, PLACES)
        done, writes = self.traced([INSTALLED, "plan"])
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stdout, rf"apt_packages +run +not installed: {MISSING}\n")
        self.assertRegex(done.stdout, r"service_user +nothing")
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)
        self.assertEqual(writes, [])
        plan = json.loads(self.vm.run([INSTALLED, "plan", "--json"]).stdout)
        will = {step["id"]: step["will"] for step in plan["steps"]}
        self.assertEqual(will["apt_packages"], "run")
        self.assertEqual(support.changes(before, support.manifest(self.vm, PLACES)), [])
        self.assert_refused(77, "sudo agent plan", "someone", ["agent", "plan"])

    def test_4_who_may_retry(self):
        self.assert_refused(77, "use `sudo agent retry`", "someone", ["agent", "retry"])
        done = self.vm.run([*SERVICE_USER, "retry"], check=False)
        self.assertEqual(done.returncode, 77, done)
        self.assert_refused(64, "the steps are ", "admin", ["agent", "retry", "apt_pakages"])
        done = self.vm.ssh("admin", ["agent", "retry", "apt_packages"])
        self.assertIn("apt_packages runs again now", done.stdout)
        tried = wait_for(lambda: len(self.failures()) == 2, "the retry to fail as well")
        self.assertTrue(tried)
        self.assertIn("admin asked for a retry of apt_packages", self.vm.journal("agent"))
        self.assertIn("someone asked for a retry: refused", self.vm.journal("agent"))

    def test_5_what_was_wrong_is_put_right(self):
        file = self.vm.root / "etc/agent/agent.toml"
        file.write_text("schema = 1\n[python]\nkind = 9\n")
        done = self.vm.ssh("admin", ["sudo", "agent", "retry"], check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("agent.toml:3:8", done.stderr)
        file.write_text(config(["git"]))
        done = self.vm.ssh("admin", ["sudo", "agent", "retry"])
        self.assertIn("agent status --watch", done.stdout)
        wait_for(lambda: support.status_json(self.vm)["state"] == "ready", "the machine to be ready")
        done = self.vm.run([INSTALLED, "plan"])
        print(done.stdout)
        self.assertIn("\nnothing to do: ", done.stdout)
        done = self.vm.run([INSTALLED, "retry"])
        self.assertIn("nothing has failed", done.stdout)
        wait_for(lambda: support.status_json(self.vm)["state"] == "ready", "the machine to be ready")

    def test_6_a_reload_reads_the_configuration(self):
        file = self.vm.root / "etc/agent/agent.toml"
        file.write_text("schema = 1\n[python]\nkind = 9\n")
        self.vm.run(["systemctl", "reload", "agent"])
        wait_for(lambda: support.status_json(self.vm)["problem"], "the mistake to be told")
        file.write_text(config(["git"]))
        self.vm.run(["systemctl", "reload", "agent"])
        wait_for(lambda: not support.status_json(self.vm)["problem"], "the mistake to be gone")

    def test_7_who_may_hold_the_machine_and_for_how_long(self):
        self.assert_refused(77, "use `sudo agent hold`", "someone", ["agent", "hold", "1h"])
        done = self.vm.run([*SERVICE_USER, "hold", "25h"], check=False)
        self.assertEqual(done.returncode, 64, done)
        self.assertIn("at most 24 h", done.stderr)
        done = self.vm.run([*SERVICE_USER, "hold", "2h"])
        self.assertRegex(done.stdout, r"held up until .*\d\d:\d\d UTC by jupyter")
        self.vm.run(["systemctl", "restart", "agent"])
        self.assertIn("by jupyter", support.status(self.vm).stdout)
        wait_for(lambda: self.vm.run([INSTALLED, "hold", "1m"], check=False).returncode == 0, "it")
        self.assertIn("by jupyter", self.vm.run([INSTALLED, "hold", "1m"]).stdout)
        done = self.vm.run([*SERVICE_USER, "release"], check=False)
        self.assertEqual(done.returncode, 77, done)
        self.vm.ssh("admin", ["agent", "release"])
        self.assertNotIn("held up", support.status(self.vm).stdout)

    def test_8_garbage_on_the_socket_harms_nothing(self):
        process = support.property_of(self.vm, "agent.service", "MainPID")
        said = self.vm.ssh("someone", ["python3", "-c", GARBAGE]).stdout.splitlines()
        self.assertEqual(said[:6], ["invalid"] * 6)
        self.assertIn("too many", said[6])
        self.assertIn("no request came in time", said[7])
        self.assertEqual(support.property_of(self.vm, "agent.service", "MainPID"), process)
        self.vm.ssh("admin", ["agent", "retry"])

    def test_9_without_a_daemon(self):
        self.vm.run(["systemctl", "stop", "agent"])
        done = self.vm.run([INSTALLED, "retry"], check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("the agent is not running", done.stderr)
        self.assertIn("systemctl start agent", done.stderr)

    def assert_refused(self, code: int, words: str, user: str, command: list[str]) -> None:
        done = self.vm.ssh(user, command, check=False)
        self.assertEqual(done.returncode, code, done)
        self.assertIn(words, done.stderr)
        self.assertEqual(done.stdout, "")

    def failures(self) -> list[str]:
        return re.findall(r"apt_packages: failed", self.vm.journal("agent"))

    def traced(self, command: list[str]) -> tuple[subprocess.CompletedProcess, list[str]]:
        """Runs it as root in the VM; what it and its children made, wrote, renamed or removed."""
        calls = "open,openat,creat,/^rename,/^unlink,/^mkdir,/^link,/^symlink,/chmod,/chown,/truncate"
        inside = ["nsenter", "-t", str(self.vm._leader()), "-a", "env", "-i", *command]
        with tempfile.NamedTemporaryFile("r") as log:
            tracer = ["strace", "-f", "-qq", "-o", log.name, "-e", "signal=none", "-e", f"trace={calls}"]
            done = subprocess.run([*tracer, *inside], capture_output=True, text=True, timeout=120)
            lines = log.read().splitlines()
        self.assertTrue(any("agent.toml" in line for line in lines), "strace saw nothing")
        return done, [line for line in lines if is_write(line)]


def is_write(line: str) -> bool:
    # A call that another process interrupted has two lines; the first one says what it is.
    if " = -1 " in line or " resumed>" in line or '"/dev/' in line or '"/proc/' in line:
        return False
    opens = re.search(r"\b(open|openat)\(", line)
    return not opens or bool(re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", line))


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
