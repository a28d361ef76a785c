#!/usr/bin/python3
"""Proves what becomes of a step that does not end by itself: the machine is stopped, rebooted, preempted
(F04) or its agent killed (F02), started twice (F05), replaced (F42) or given another configuration (F23);
that the world's not listening (F24) is no reason to stop, and a step that cannot succeed (F09) no loop.

One VM meets all of it, in the order of the tests' numbers. What is interrupted is a real apt, whose
package's script waits, in a session of its own, for as long as a file is there.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import unittest

import support
from apt_machine import AptMachine, Package
from support import INSTALLED, PATIENCE, wait_for

WAITS = """
[ "$1" = configure ] || exit 0
[ ! -e /opt/wait ] || setsid sleep 302 || true
"""
SLOW = [Package(f"company-slow{number}", postinst=WAITS) for number in range(1, 8)]
AT_WORK = ("sleep", "dpkg", "apt-get")
LONGEST_STOP = 20  # seconds: GCE gives a Spot VM 30
TWENTY = f"""
for n in $(seq 20); do
    ({INSTALLED} run > /tmp/second.$n 2>&1 < /dev/null; echo $? > /tmp/status.$n) &
done
wait
cat /tmp/status.*
"""


class Interrupted(AptMachine):
    @classmethod
    def setUpClass(cls):
        cls.set_up_behind_a_mirror("interrupted", [*SLOW, Package("company-late")])

    def test_1_the_agent_is_stopped(self):
        self.into_the_middle_of(1)
        start = time.monotonic()
        self.vm.run(["systemctl", "stop", "agent"], timeout=PATIENCE)
        self.assert_interrupted_in_time(start)
        self.assertEqual(support.property_of(self.vm, "agent.service", "Result"), "success")
        self.assert_resumed(lambda: self.vm.run(["systemctl", "start", "agent"]))

    def test_2_the_machine_is_rebooted(self):
        self.into_the_middle_of(2)
        before = self.vm.boot_id()
        start = time.monotonic()
        self.assert_resumed(lambda: self.vm.reboot(timeout=PATIENCE))
        print(f"rebooted and ready in {time.monotonic() - start:.1f} s")
        last = [report for report in self.reports() if report["boot_id"] == before][-1]
        self.assert_told(last)

    def test_3_the_machine_is_preempted(self):
        self.into_the_middle_of(3)
        start = time.monotonic()
        self.vm.metadata.set("instance/preempted", "TRUE")
        wait_for(lambda: self.vm.report()["state"] == "stopping", "the notice", timeout=LONGEST_STOP)
        self.assert_interrupted_in_time(start)
        self.assertIn("preempt", self.vm.report()["problem"]["message"])
        self.vm.metadata.set("instance/preempted", "FALSE")
        # As GCE starts a preempted VM again: by a boot.
        self.assert_resumed(lambda: self.vm.reboot(timeout=PATIENCE))

    def test_4_the_agent_is_killed(self):
        self.into_the_middle_of(4)
        pid = support.property_of(self.vm, "agent.service", "MainPID")
        self.let_go()
        self.vm.run(["kill", "-KILL", pid])
        wait_for(lambda: not self.at_work("sleep"), "systemd to end what it left", timeout=30)
        self.assert_resumed(lambda: None)
        self.assertNotEqual(support.property_of(self.vm, "agent.service", "NRestarts"), "0")

    def test_5_an_agent_that_was_started_by_hand_is_killed(self):
        self.vm.run(["systemctl", "stop", "agent"], timeout=PATIENCE)
        self.hold_up()
        self.wanted.append("company-slow5")
        self.vm.set_attribute("agent-config", self.whole_config())
        by_hand = [*self.vm.ssh_command("admin"), "sudo", INSTALLED, "run"]
        with subprocess.Popen(by_hand, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            self.wait_until_it_waits(5)
            left = self.at_work("sleep")
            holder = re.search(r"process (\d+)", self.vm.run([INSTALLED, "run"], check=False).stderr)
            self.vm.run(["kill", "-KILL", holder[1]])
        self.assertEqual(self.at_work("sleep"), left, "nobody but the next run ends it")
        self.let_go()
        self.assert_resumed(lambda: self.vm.run(["systemctl", "start", "agent"]))
        self.assertEqual(self.at_work("sleep"), [])
        said = self.vm.journal("agent")
        self.assertRegex(said, r"ended what an earlier run left behind: .*sleep")

    def test_6_twenty_more_are_started(self):
        pid = support.property_of(self.vm, "agent.service", "MainPID")
        statuses = self.vm.run(["sh", "-c", TWENTY], timeout=PATIENCE).stdout.split()
        self.assertEqual(statuses, ["4"] * 20)
        for path in (self.vm.root / "tmp").glob("second.*"):
            self.assertIn(f"(process {pid})", path.read_text())
        self.assertEqual(support.property_of(self.vm, "agent.service", "MainPID"), pid)

    def test_7_the_agent_is_replaced_as_it_runs(self):
        self.into_the_middle_of(6)
        pid = support.property_of(self.vm, "agent.service", "MainPID")
        place = self.vm.root / INSTALLED.lstrip("/")
        shutil.copy(place, place.with_suffix(".new"))
        place.with_suffix(".new").rename(place)
        self.let_go()
        self.vm.run(["pkill", "-x", "sleep"])
        self.assertEqual(self.settled()["state"], "ready")
        self.assertEqual(support.property_of(self.vm, "agent.service", "MainPID"), pid)
        log = self.vm.root / "var/log/apt/history.log"
        before = log.read_text()
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        self.assert_ready()
        self.assertEqual(support.step_states(self.vm)["apt_packages"], "satisfied")
        self.assertEqual(log.read_text(), before)

    def test_8_the_configuration_changes_as_it_runs(self):
        """The run goes on with what it began with; what came meanwhile is next."""
        self.into_the_middle_of(7)
        before = wait_for(
            lambda: support.status_json(self.vm)["config_sha256"], "the configuration to be named"
        )
        self.wanted.append("company-late")
        self.give(self.whole_config())
        wait_for(lambda: self.vm.metadata.polls(), "the agent to wait for the next change")
        status = support.status_json(self.vm)
        self.assertEqual((status["state"], status["config_sha256"]), ("provisioning", before))
        self.let_go()
        self.vm.run(["pkill", "-x", "sleep"])
        self.assertEqual(self.settled()["state"], "ready")
        self.assertLessEqual(set(self.wanted), set(self.installed()))

    def test_9_guest_attributes_are_refused(self):
        self.vm.delete_attribute("enable-guest-attributes")
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        self.assert_ready()
        wait_for(lambda: "guest attributes are off" in self.vm.journal("agent"), "the refusal")
        self.assertIn("enable-guest-attributes to TRUE", self.vm.journal("agent"))
        refused = [put["status"] for put in support.agent_writes(self.vm)].count(403)
        self.assertIn(refused, (1, 2))
        self.vm.set_attribute("enable-guest-attributes", "TRUE")
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        wait_for(lambda: self.vm.guest_attributes().get("agent/state") == "ready", "the last state")

    def test_a_plan_that_cannot_succeed(self):
        self.wanted.append("company-nowhere")
        status = self.converge(self.whole_config())
        self.assert_problem(status, "apt_packages", "permanent", "no package company-nowhere")
        boot = self.vm.boot_id()
        self.vm.reboot(timeout=PATIENCE)
        report = self.vm.wait_settled(timeout=PATIENCE)
        self.assertEqual((report["state"], report["problem"]["step"]), ("failed", "apt_packages"))
        self.assertNotEqual(self.vm.boot_id(), boot)
        self.assertEqual(self.vm.ssh("someone", ["true"]).returncode, 0)
        self.assertEqual(support.property_of(self.vm, "agent.service", "NRestarts"), "0")
        steps = {step["id"]: step for step in support.status_json(self.vm)["steps"]}
        self.assertEqual(steps["apt_packages"]["attempts"], 2, "one a boot")

    # How it gets there

    def whole_config(self) -> str:
        return self.config(self.wanted, self.repository(self.mirror.url, self.key))

    def into_the_middle_of(self, number: int) -> None:
        self.hold_up()
        self.wanted.append(f"company-slow{number}")
        self.give(self.whole_config())
        self.wait_until_it_waits(number)

    def wait_until_it_waits(self, number: int) -> None:
        self.told(f"setting up company-slow{number}", "the script to run")
        wait_for(lambda: self.at_work("sleep"), "the script to wait")

    def hold_up(self) -> None:
        (self.vm.root / "opt/wait").touch()

    def let_go(self) -> None:
        """The script that waits goes on waiting; the next one does not begin to."""
        (self.vm.root / "opt/wait").unlink(missing_ok=True)

    # What is seen

    def at_work(self, name: str) -> list[str]:
        return self.vm.run(["pgrep", "-x", name], check=False).stdout.split()

    def reports(self) -> list[dict]:
        writes = support.agent_writes(self.vm)
        return [json.loads(put["value"]) for put in writes if put["path"].endswith("/report")]

    def assert_told(self, report: dict) -> None:
        self.assertEqual(report["state"], "stopping", report)
        self.assertIn("interrupted:apt_packages", report["problem"]["message"])
        print(f"the world reads: {report['summary']}")

    def assert_interrupted_in_time(self, start: float) -> None:
        wait_for(
            lambda: not any(self.at_work(name) for name in AT_WORK),
            "its children to end",
            timeout=LONGEST_STOP,
        )
        took = time.monotonic() - start
        print(f"over after {took:.1f} s")
        self.assertLess(took, LONGEST_STOP)
        # Off the VM it is read as well, unless six were written in this minute already.
        status = self.vm.run(["cat", "/run/agent/status.json"])
        self.assert_told(json.loads(status.stdout))
        ledger = json.loads((self.vm.root / "var/lib/agent/ledger/apt_packages.json").read_text())
        self.assertEqual(ledger["outcome"], "interrupted", ledger)

    def assert_resumed(self, again) -> None:
        """The next run begins where the last one ended: what was done is not done again."""
        self.let_go()
        again()
        self.assert_ready()
        states = support.step_states(self.vm)
        others = {state for step, state in states.items() if step != "apt_packages"}
        self.assertEqual((states["apt_packages"], others), ("applied", {"satisfied"}), states)
        self.assertLessEqual(set(self.wanted), set(self.installed()))

    def assert_ready(self) -> None:
        def ready() -> bool:
            status = support.status_json(self.vm)
            if problem := status.get("problem"):  # of no step: nobody runs
                self.assertIsNone(problem["step"], problem)
            return status.get("state") == "ready"

        wait_for(ready, "the machine to be ready", timeout=120)


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
