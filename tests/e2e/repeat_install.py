#!/usr/bin/python3
"""Proves that a second install of the same bootstrap changes nothing and restarts nothing."""

import json
import shutil
import sys
import unittest

import support
from support import PATIENCE, Vm

PLACES = ["/usr/local", "/etc", "/var/lib/agent"]

# Prints what a file's being written, renamed, replaced or given away would change.
MANIFEST = """
import json, os, sys
found = {}
for place in sys.argv[1:]:
    for directory, _, names in os.walk(place):
        for path in [directory, *(os.path.join(directory, name) for name in names)]:
            s = os.lstat(path)
            found[path] = [s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_ctime_ns]
print(json.dumps(found))
"""


class RepeatInstall(unittest.TestCase):
    def test_a_second_install_changes_nothing(self):
        kept = support.artefacts("repeat_install")
        config = support.config(["jupyterlab"], support.make_password()[1])
        with Vm(bootstrap=support.BOOTSTRAP, config=config, artefacts=kept) as vm:
            self.assertEqual(vm.wait_settled(timeout=PATIENCE)["state"], "ready", vm.report())
            shutil.copy(support.BOOTSTRAP, vm.root / "root" / "bootstrap")
            files, process = self.manifest(vm), support.property_of(vm, "agent.service", "MainPID")
            done = vm.run(["/root/bootstrap"], timeout=PATIENCE)
            print(done.stdout)
            self.assertIn("everything was installed already", done.stdout)
            self.assertEqual(self.changes(files, self.manifest(vm)), [])
            self.assertEqual(support.property_of(vm, "agent.service", "MainPID"), process)
            self.assertEqual(support.status(vm).returncode, 0)

    def manifest(self, vm: Vm) -> dict:
        return json.loads(vm.run(["python3", "-c", MANIFEST, *PLACES]).stdout)

    def changes(self, before: dict, after: dict) -> list[str]:
        return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
