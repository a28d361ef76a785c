#!/usr/bin/python3
"""Proves what becomes of apt in the field (F32, F33, F36): mirrors that lie, refuse, stall, are cut or
gone; locks that others hold; a dpkg that is killed; packages on hold, broken, failing, asking, hanging
and noisy.

One VM meets all of it, in the order of the tests' numbers. Its only archive is the test's own, so that
an attempt takes as long as its fault.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

import support
from apt_machine import HOLD, AptMachine, Package
from support import PATIENCE, Vm, wait_for

DEBCONF = ". /usr/share/debconf/confmodule"
CONFIGURING = '[ "$1" = configure ] || exit 0'
# A line of 10 MB, a progress bar, bytes that are no text, one that stays and holds the output open, and
# nobody who has it.
NOISE = """
head -c 10000000 /dev/zero | tr '\\0' x
echo
for percent in $(seq 100); do printf '%s of 100 MB\\r' $percent; done
head -c 100000 /dev/urandom
setsid sleep 303 &
exec >&- 2>&-
"""
PACKAGES = [
    Package("company-tool"),
    Package("company-lib"),
    Package("company-lib", "2.0"),
    Package("company-needs", fields="Depends: company-lib (>= 2.0)\n"),
    Package("company-nowhere", fields="Depends: company-nothing (>= 3)\n"),
    Package("company-big", size=150_000_000),
    Package("company-slow", postinst=f"{CONFIGURING}\n[ ! -e /opt/slow ] || sleep 301"),
    Package("company-hang", postinst=f"{CONFIGURING}\n[ ! -e /opt/hang ] || setsid sleep 302"),
    Package(
        "company-bad",
        postinst=f"{CONFIGURING}\n[ -e /opt/fixed ] || {{ echo no licence server >&2; exit 7; }}",
    ),
    Package("company-noise", postinst=f"{CONFIGURING}\n{NOISE}"),
    Package("company-asks", postinst=f"{CONFIGURING}\nprintf 'Do you agree? '; read answer"),
    Package(
        "company-debconf",
        fields="Depends: debconf\n",
        config=f"{DEBCONF}\ndb_input critical company/agree || true\ndb_go || true",
        postinst=f"{DEBCONF}\ndb_get company/agree\necho $RET > /opt/answer",
        templates="Template: company/agree\nType: string\nDefault: as usual\nDescription: Well?\n",
    ),
]
# What goes wrong with a file of the mirror, and what apt then says.
FAULTS = {
    "lies": "Hash Sum mismatch",
    "refuses": "503",
    "cuts": "Failed to fetch",
    "stalls": "timed? ?out",
}
FRONT_END_LOCK = "/var/lib/dpkg/lock-frontend"
SETTINGS = """
Acquire::http::Timeout "1";
Acquire::Retries::Delay "false";
"""


class AptField(AptMachine):
    @classmethod
    def setUpClass(cls):
        cls.set_up_behind_a_mirror("apt_field", PACKAGES, _be_impatient)

    def test_01_a_mirror_whose_lists_are_wrong_first(self):
        self.want("company-tool")
        self.archive.add(Package("company-late"))
        self.mirror.fault("lies", "/Packages")
        self.give_more("company-late")
        print(self.told("trying again: .*Hash Sum mismatch", "the lie to be told"))
        asked = len(self.mirror.asked)
        self.mirror.heal()
        self.assert_ready(self.settled())
        self.assertTrue(any("/Packages" in path for path in self.mirror.asked[asked:]))

    def test_02_a_mirror_whose_packages_do_not_arrive(self):
        for kind, words in FAULTS.items():
            with self.subTest(kind):
                name = f"company-{kind}"
                self.archive.add(Package(name))
                self.mirror.fault(kind, f"/{name}_")
                self.give_more(name)
                print(self.told(f"trying again: .*{words}", f"the mirror that {kind}"))
                self.mirror.heal()
                self.assert_ready(self.settled())

    def test_03_a_mirror_that_is_gone(self):
        self.archive.add(Package("company-new"))
        self.mirror.stop()
        self.give_more("company-new")
        # apt-get update succeeds all the same, so nobody must take it for a misspelling.
        print(self.told("trying again: not all .*no package company-new", "the mirror's absence"))
        self.mirror.start()
        self.assert_ready(self.settled())

    def test_04_somebody_holds_the_front_end_s_lock(self):
        (self.vm.root / "opt/hold.py").write_text(HOLD)
        with subprocess.Popen(
            [*self.vm.ssh_command("admin"), "sudo", "/usr/bin/python3", "/opt/hold.py", FRONT_END_LOCK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            self.assertEqual(holder.stdout.readline(), "held\n")
            self.give_more("company-lib=1.0")
            told = self.told("waiting", "the lock to be said")
            print(told)
            self.assertRegex(
                told,
                r"up to 10 min for process \d+ \(/usr/bin/python3 /opt/hold.py\), "
                "which holds /var/lib/dpkg/lock-frontend",
            )
            holder.stdin.close()
        self.assert_ready(self.settled())
        self.assertTrue((self.vm.root / "var/lib/dpkg/lock-frontend").exists())

    def test_05_a_dpkg_that_is_killed_as_it_unpacks(self):
        unpacked = self.vm.root / "usr/share/company-big"
        self.give_more("company-big")
        wait_for(lambda: list(unpacked.glob("data*")), "the unpacking", every=0.001)
        _kill_in(self.vm, "dpkg")
        self.assertNotIn("company-big", self.installed())
        self.assert_ready(self.settled())
        self.assertEqual((unpacked / "data").stat().st_size, 150_000_000)
        self.assertIn("unpacking again what was cut off: company-big", self.log())

    def test_06_a_dpkg_that_is_killed_as_it_configures(self):
        (self.vm.root / "opt/slow").touch()
        self.give_more("company-slow")
        self.told("setting up company-slow", "the script to run")
        wait_for(lambda: _processes_of(self.vm, "sleep"), "the script to sleep")
        (self.vm.root / "opt/slow").unlink()
        _kill_in(self.vm, "dpkg")
        self.assert_ready(self.settled())
        self.assertIn("interrupted dpkg left half done", self.log())

    def test_07_a_package_on_hold_is_in_the_way(self):
        self.vm.run(["apt-mark", "hold", "company-lib"])
        self.wanted.remove("company-lib=1.0")
        status = self.give_and_settle("company-needs")
        self.assert_problem(
            status, "apt_packages", "permanent", "company-needs : Depends: company-lib (>= 2.0)"
        )
        self.assertIn("`sudo apt-mark unhold company-lib`", status["problem"]["next"])
        self.vm.run(["apt-mark", "unhold", "company-lib"])
        self.retry()

    def test_08_a_package_that_was_there_and_is_broken(self):
        self.vm.run(["dpkg", "--remove", "company-needs", "company-lib"])
        self.wanted.remove("company-needs")
        self.install_by_hand("company-needs_1.0_all.deb")  # what it lacks can be had
        self.assert_ready(self.give_and_settle("company-tool2", Package("company-tool2")))
        self.assertIn("company-needs", self.installed())
        self.install_by_hand("company-nowhere_1.0_all.deb")  # what it lacks cannot
        status = self.give_and_settle("company-tool3", Package("company-tool3"))
        self.assert_problem(
            status, "apt_packages", "permanent", "company-nowhere : Depends: company-nothing (>= 3)"
        )
        self.assertIn("--fix-broken install`", status["problem"]["next"])
        self.vm.run(["dpkg", "--remove", "company-nowhere"])
        self.retry()

    def test_09_a_script_that_fails(self):
        status = self.give_and_settle("company-bad")
        self.assert_problem(
            status, "apt_packages", "permanent", "company-bad: ", "status 7", "no licence server"
        )
        # Whoever does not ask for it has what he asked for.
        self.wanted.remove("company-bad")
        self.assert_ready(self.give_and_settle("company-tool4", Package("company-tool4")))
        self.give_and_settle("company-bad")
        (self.vm.root / "opt/fixed").touch()
        self.retry()

    def test_10_scripts_that_ask(self):
        self.assert_ready(self.give_and_settle("company-debconf"))
        self.assertEqual((self.vm.root / "opt/answer").read_text(), "as usual\n")
        status = self.give_and_settle("company-asks")
        self.assert_problem(status, "apt_packages", "permanent", "company-asks: ", "Do you agree?")
        self.wanted.remove("company-asks")
        self.vm.run(["dpkg", "--remove", "company-asks"])

    def test_11_a_script_that_hangs_when_the_machine_is_to_stop(self):
        (self.vm.root / "opt/hang").touch()
        self.give_more("company-hang")
        print(self.told("setting up company-hang", "what hangs to be said"))
        wait_for(lambda: _processes_of(self.vm, "sleep"), "the script to sleep")
        start = time.monotonic()
        self.vm.run(["systemctl", "stop", "agent"], timeout=PATIENCE)
        took = time.monotonic() - start
        print(f"stopped in {took:.1f} s")
        self.assertLess(took, 20)
        for name in ("sleep", "dpkg", "apt-get"):
            self.assertEqual(_processes_of(self.vm, name), [], name)
        (self.vm.root / "opt/hang").unlink()
        self.vm.run(["systemctl", "start", "agent"], timeout=PATIENCE)
        wait_for(lambda: support.status_json(self.vm).get("state") == "ready", "the next run")
        self.assertIn("company-hang", self.installed())

    def test_12_a_script_that_says_too_much(self):
        start = time.monotonic()
        self.assert_ready(self.give_and_settle("company-noise"))
        print(f"done in {time.monotonic() - start:.1f} s")
        self.assertEqual(len(_processes_of(self.vm, "sleep")), 1)
        said = self.vm.run([support.INSTALLED, "log", "apt_packages"]).stdout
        self.assertIn("100 of 100 MB", said)
        self.assertLess(max(map(len, said.splitlines())), 9000)
        self.assertLess(len(said), 2_000_000)

    def give_more(self, *packages: str) -> None:
        self.wanted += packages
        self.give(self.config(self.wanted, self.repository(self.mirror.url, self.key)))

    def give_and_settle(self, name: str, *published: Package) -> dict:
        self.archive.add(*published)
        self.give_more(name)
        return self.settled()

    def want(self, name: str) -> None:
        self.assert_ready(self.give_and_settle(name))

    def assert_ready(self, status: dict) -> None:
        self.assertEqual(status["state"], "ready", status)
        names = {package.split("=")[0] for package in self.wanted}
        self.assertLessEqual(names, set(self.installed()))

    def retry(self) -> None:
        """As a person does once the cause is gone."""
        self.vm.run([support.INSTALLED, "retry"])
        wait_for(lambda: support.status_json(self.vm)["state"] == "ready", "the retry to succeed")
        self.assert_ready(support.status_json(self.vm))

    def install_by_hand(self, name: str) -> None:
        shutil.copy(self.archive.pool / name, self.vm.root / "opt")
        self.vm.run(["dpkg", "--install", f"/opt/{name}"], check=False)

    def log(self) -> str:
        return (self.vm.root / "var/log/agent/apt_packages.log").read_text()


def _be_impatient(root: pathlib.Path) -> None:
    (root / "etc/apt/apt.conf.d/95impatient").write_text(SETTINGS)


def _processes_of(vm: Vm, name: str) -> list[int]:
    """By their numbers in the VM."""
    return [int(pid) for pid in vm.run(["pgrep", "-x", name], check=False).stdout.split()]


def _kill_in(vm: Vm, name: str) -> None:
    """SIGKILL, sooner than a command in the VM could send it."""
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            same = (directory / "comm").read_text().strip() == name
            if same and os.path.samefile(directory / "root", vm.root):
                os.kill(int(directory.name), signal.SIGKILL)
        except OSError:
            continue


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
