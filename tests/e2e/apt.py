#!/usr/bin/python3
"""Proves that a company's own signed repository is used, one signed by anybody else is not, and that
neither other users of apt, nor a dpkg that was interrupted, nor a full disk, nor what there is of the
machine's user already end in half a machine.

One VM meets all of it, in the order of the tests' numbers.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import support
from apt_machine import HOLD, AptMachine, Archive, Key, Package
from support import PATIENCE, Vm, wait_for

SOURCES = "etc/apt/sources.list.d/company.sources"
KEYRING = "etc/apt/keyrings/agent-company.asc"
PACKAGES = [
    Package("company-tool", fields="Provides: company-greeting\n"),
    Package("company-late"),
    Package("company-last"),
]


class Apt(AptMachine):
    @classmethod
    def setUpClass(cls):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="agent-apt."))
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.key = Key(directory / "ours", "Company")
        cls.addClassCleanup(cls.key.forget)
        cls.other_key = Key(directory / "theirs", "Somebody else")
        cls.addClassCleanup(cls.other_key.forget)
        cls.vm = Vm(bootstrap=support.BOOTSTRAP, config=cls.config([]), prepare=_add_group)
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.create()
        Archive(cls.vm.directory / "www" / "company", cls.key, PACKAGES)
        cls.vm.boot()
        cls.addClassCleanup(cls.vm.save_artefacts, support.artefacts("apt"))
        cls.vm.wait_settled(timeout=PATIENCE)

    def ours(self, key: Key) -> str:
        url = self.vm.serve("/dev/null", "nothing").removesuffix("nothing") + "company"
        return self.repository(url, key)

    def test_1_a_repository_and_a_virtual_package_of_it(self):
        config = self.config(["company-greeting"], self.ours(self.key))
        self.assertEqual(self.converge(config)["state"], "ready", support.status_json(self.vm))
        self.assertEqual(self.installed(), ["company-tool"])
        for path in (SOURCES, KEYRING):
            status = (self.vm.root / path).stat()
            self.assertEqual((status.st_mode & 0o777, status.st_uid), (0o644, 0))
        text = (self.vm.root / SOURCES).read_text()
        print(text)
        self.assertIn(f"Signed-By: /{KEYRING}\n", text)
        self.assertNotIn("rusted", text)

    def test_2_a_second_run_does_nothing(self):
        log = self.vm.root / "var/log/apt/history.log"
        before = log.read_text(), (self.vm.root / SOURCES).stat().st_ino
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        wait_for(lambda: support.status_json(self.vm)["state"] == "ready", "the machine again")
        states = support.step_states(self.vm)
        self.assertEqual({states["apt_repositories"], states["apt_packages"]}, {"satisfied"})
        self.assertEqual((log.read_text(), (self.vm.root / SOURCES).stat().st_ino), before)

    def test_3_other_users_of_apt_and_what_they_left(self):
        paragraph = self.vm.run(["dpkg-query", "--status", "company-tool"]).stdout
        (self.vm.root / "var/lib/dpkg/updates/0000").write_text(paragraph)
        command = [*self.vm.ssh_command("admin"), "sudo", "python3", "-c"]
        with subprocess.Popen(
            [*command, f"'{HOLD}'", "/var/lib/apt/lists/lock"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            self.assertEqual(holder.stdout.readline(), "held\n")
            packages = ["company-greeting", "company-late"]
            self.give(self.config(packages, self.ours(self.key)))
            told = self.told("waiting", "the lock to be said")
            print(told)
            self.assertRegex(told, r"10 min for process \d+ \((\S*/)?python3\).*/var/lib/apt/lists/lock")
            holder.stdin.close()
        self.assertEqual(self.settled()["state"], "ready")
        self.assertEqual(self.installed(), ["company-late", "company-tool"])
        log = (self.vm.root / "var/log/agent/apt_packages.log").read_text()
        self.assertIn("interrupted dpkg left half done", log)

    def test_4_somebody_else_signs_it(self):
        shutil.rmtree(self.vm.directory / "www" / "company")
        Archive(self.vm.directory / "www" / "company", self.other_key, PACKAGES)
        before = (self.vm.root / SOURCES).read_text()
        # Another URL of the same archive, so that it has to be looked at.
        repository = self.ours(self.key).replace("/company", "/./company")
        status = self.converge(self.config(["company-last"], repository))
        self.assert_problem(status, "apt_repositories", "misconfigured", "another key", "NO_PUBKEY")
        self.assertEqual(support.step_states(self.vm)["apt_packages"], "blocked")
        self.assertNotIn("company-last", self.installed())
        self.assertEqual((self.vm.root / SOURCES).read_text(), before)

    def test_5_no_longer_asked_for(self):
        self.assertEqual(self.converge(self.config([]))["state"], "ready")
        for path in (SOURCES, KEYRING):
            self.assertFalse((self.vm.root / path).exists())
        self.assertTrue((self.vm.root / "etc/apt/sources.list.d/debian.sources").exists())

    def test_6_a_file_of_somebody_else(self):
        (self.vm.root / SOURCES).write_text("# Mine.\n")
        status = self.converge(self.config([], self.ours(self.key)))
        self.assert_problem(status, "apt_repositories", "misconfigured", f"/{SOURCES}", "in the way")
        self.assertEqual((self.vm.root / SOURCES).read_text(), "# Mine.\n")
        (self.vm.root / SOURCES).unlink()

    def test_7_a_disk_that_is_too_small(self):
        self.vm.run(["mkdir", "/opt/small"])
        self.vm.run(["mount", "-t", "tmpfs", "-o", "size=64M,nr_inodes=100k", "small", "/opt/small"])
        python = 'kind = "venv"\nprefix = "/opt/small/jupyter"'
        status = self.converge(self.config([], python=python))
        self.assert_problem(
            status, "disk_space", "permanent", "67 MB of 67 MB", "at /opt/small/jupyter", "are needed"
        )
        self.assertEqual(support.step_states(self.vm)["apt_packages"], "blocked")
        self.assertEqual(list((self.vm.root / "opt/small").iterdir()), [])
        self.vm.run(["mount", "-o", "remount,size=2G", "/opt/small"])
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        wait_for(
            lambda: support.step_states(self.vm).get("disk_space") == "satisfied",
            "the larger disk to be seen",
        )

    def test_8_a_user_whose_group_is_there_and_whose_home_is_not(self):
        user = self.vm.run(["getent", "passwd", "jupyter"]).stdout.split(":")
        self.assertEqual(user[3], "1500", user)
        self.vm.run(["rm", "-r", "/home/jupyter"])
        self.converge(self.config(["company-tool"]))
        self.assertEqual(support.step_states(self.vm)["service_user"], "applied")
        owner = self.vm.run(["stat", "--format=%U:%G", "/home/jupyter/.profile"]).stdout.strip()
        self.assertEqual(owner, "jupyter:jupyter")


def _add_group(root: pathlib.Path) -> None:
    with open(root / "etc/group", "a") as groups:
        groups.write("jupyter:x:1500:\n")


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
