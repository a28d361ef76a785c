#!/usr/bin/python3
"""Proves that a boot with nothing to do does nothing: what the agent asks of the kernel in it, call
by call, changes nothing outside /run and the journal."""

import collections
import pathlib
import re
import sys
import unittest
import xml.etree.ElementTree

import support
from support import PATIENCE, Vm, wait_for

TRACE = "/run/second-boot.trace"
DROP_IN = "/etc/systemd/system/agent.service.d/90-trace.conf"
# -D: the daemon stays the unit's main process, so systemd takes its word. -y: descriptors as paths.
TRACED = f"""[Service]
ExecStart=
ExecStart=/usr/bin/strace -D -f -y -qq -s 4096 -e trace=%%file,%%desc,%%process -e signal=none \
-o {TRACE} /usr/local/bin/agent run
"""
PIPES_AND_SOCKETS = ("/proc/self/", "/dev/null", "/dev/console", "/dev/tty")
# What the daemon and its children may execute; the rest of the words is looked at below.
ASKS = {
    "/usr/bin/getent",
    "/usr/bin/dpkg-query",
    "/usr/bin/id",
    "/usr/bin/stat",
    "/usr/bin/systemctl",
    "/usr/bin/test",
    "/usr/local/bin/agent",
}
OPENS = re.compile(r'^\d+ +(open|openat|creat)\((?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"([^"]*)"(.*)$')
CHANGES = re.compile(
    r"^\d+ +(rename\w*|unlink\w*|mkdir\w*|rmdir|link\w*|symlink\w*|f?ch(?:mod|own)\w*|l?chown"
    r"|truncate|utime\w*|mknod\w*|setxattr|removexattr|mount|umount2)\((.*)$"
)
EXECUTES = re.compile(r'^\d+ +execve\("([^"]*)", \[(.*?)\](?:,|\.\.\.)')


def keep_the_journal(root: pathlib.Path) -> None:
    """As Debian's images for GCE do it; the testbed's tree has none that outlives a boot."""
    (root / "var/log/journal").mkdir(exist_ok=True)


class SecondBoot(unittest.TestCase):
    def test_a_boot_with_nothing_to_do_changes_nothing(self):
        kept = support.artefacts("second_boot")
        config = support.config(
            ["jupyterlab"], support.make_password()[1], support.old_libraries()
        )
        with Vm(
            bootstrap=support.BOOTSTRAP, config=config, prepare=keep_the_journal, artefacts=kept
        ) as vm:
            self.assertEqual(vm.wait_settled(timeout=PATIENCE)["state"], "ready", vm.report())
            vm.run(["apt-get", "install", "--yes", "-qq", "strace"], timeout=PATIENCE)
            vm.run(["mkdir", "-p", DROP_IN.rpartition("/")[0]])
            vm.run(["tee", DROP_IN], input=TRACED)
            vm.reboot(timeout=PATIENCE)
            self.assertEqual(vm.wait_settled(timeout=PATIENCE)["state"], "ready", vm.report())
            states = support.step_states(vm)
            self.assertEqual(set(states.values()), {"satisfied"}, states)
            # One look at a healthy Jupyter belongs to it.
            wait_for(lambda: self.looks(vm) > 0, "the daemon's look at Jupyter", timeout=60)
            trace = vm.run(["cat", TRACE]).stdout
            (kept / "trace").write_text(trace)
            self.look_at_both_boots(vm)
        self.judge(trace)

    def look_at_both_boots(self, vm: Vm) -> None:
        """Anybody sees this boot's timeline; the earlier one's is in the journal."""
        this = vm.ssh("someone", ["agent", "timeline"]).stdout
        print(this)
        for said in ("Jupyter reachable after ", "everything installed after ", "\npython_packages "):
            self.assertIn(said, this)
        earlier = vm.run([support.INSTALLED, "timeline", "--boot", "-1"]).stdout
        print(earlier)
        self.assertIn("Jupyter reachable after ", earlier)
        self.assertNotEqual(earlier.splitlines()[0], this.splitlines()[0])
        refused = vm.ssh("someone", ["agent", "timeline", "--boot", "-1"], check=False)
        self.assertEqual(refused.returncode, 77, refused)
        self.assertIn("sudo agent timeline", refused.stderr)
        picture = vm.ssh("someone", ["agent", "timeline", "--svg", "-"]).stdout
        root = xml.etree.ElementTree.fromstring(picture)
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")

    def looks(self, vm: Vm) -> int:
        after = vm.run(["cat", TRACE]).stdout.partition('"state\\":\\"ready')[2]
        return after.count('"worker", "probe"')

    def judge(self, trace: str) -> None:
        lines = trace.splitlines()
        self.assertGreater(len(lines), 500, "too little was traced to prove anything")
        calls = collections.Counter(
            found[1] for found in (re.match(r"^\d+ +(\w+)\(", line) for line in lines) if found
        )
        print(f"{len(lines)} calls seen, of these {calls.most_common(8)}")
        self.assertEqual([line for line in lines if self.opens_for_writing(line)], [])
        self.assertEqual([line for line in lines if self.changes(line)], [])
        commands = [found for found in map(EXECUTES.match, lines) if found]
        self.assertGreater(len(commands), 3)
        print(collections.Counter(found[1] for found in commands))
        for found in commands:
            program, arguments = found[1], found[2].split(", ")
            if program == "/proc/self/exe":
                self.assertIn('"worker"', arguments, found[0])
            else:
                self.assertIn(program, ASKS, found[0])
            if program == "/usr/bin/systemctl":
                self.assertEqual(arguments[1], '"show"', found[0])

    def opens_for_writing(self, line: str) -> bool:
        found = OPENS.match(line)
        if not found:
            return False
        call, _, directory, path, rest = found.groups()
        writes = call == "creat" or re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", rest)
        return bool(writes) and self.is_durable(path, directory)

    def changes(self, line: str) -> bool:
        found = CHANGES.match(line)
        if not found or re.search(r"= -1 E\w+", line):
            return False
        # Every path in it: as text, or as the descriptor that -y has decoded.
        paths = re.findall(r'"([^"]*)"', found[2]) or re.findall(r"\d+<([^>]*)>", found[2])
        directory = (re.findall(r"\d+<(/[^>]*)>", found[2]) or [""])[0]
        return any(self.is_durable(path, directory) for path in paths)

    def is_durable(self, path: str, directory: str | None) -> bool:
        whole = path if path.startswith("/") else f"{directory or ''}/{path}"
        return not whole.startswith(("/run/", "/var/run/", *PIPES_AND_SOCKETS))


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
