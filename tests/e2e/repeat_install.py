#!/usr/bin/python3
"""Proves that a second install of the same bootstrap changes nothing and restarts nothing."""

import shutil
import sys
import unittest

import support
from support import PATIENCE, Vm

PLACES = ["/usr/local", "/etc", "/var/lib/agent"]


class RepeatInstall(unittest.TestCase):
    def test_a_second_install_changes_nothing(self):
        kept = support.artefacts("repeat_install")
        config = support.config(["jupyterlab"], support.make_password()[1])
        with Vm(bootstrap=support.BOOTSTRAP, config=config, artefacts=kept) as vm:
            self.assertEqual(vm.wait_settled(timeout=PATIENCE)["state"], "ready", vm.report())
            shutil.copy(support.BOOTSTRAP, vm.root / "root" / "bootstrap")
            files = support.manifest(vm, PLACES)
            process = support.property_of(vm, "agent.service", "MainPID")
            done = vm.run(["/root/bootstrap"], timeout=PATIENCE)
            print(done.stdout)
            self.assertIn("everything was installed already", done.stdout)
            self.assertEqual(support.changes(files, support.manifest(vm, PLACES)), [])
            self.assertEqual(support.property_of(vm, "agent.service", "MainPID"), process)
            self.assertEqual(support.status(vm).returncode, 0)


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
