#!/usr/bin/python3
"""Proves that a bad metadata server is named at once, changes nothing, and is forgotten when it is
well again; and that nothing the agent does is too much for a good one.

One VM has its configuration in metadata and meets every fault; another has it on its disk and boots
without a metadata server.
"""

import sys
import time
import unittest

import support
from support import PATIENCE, Vm, wait_for

ASKING = "starting: asking the metadata server what this VM is to be"
LATE = "did not answer within"
FOREIGN = "is not GCE's metadata server"
REFUSED = "Connection refused"
# What the server does → its fault, and what the agent must say of it. The slow ones come first.
FAULTS = {
    "is silent": (("hang",), LATE),
    "is slow": (("slow", 30), LATE),
    "trickles": (("trickle", 0.5), LATE),
    "has a bad moment": (("status", 503), "status 503"),
    "limits how often it is read": (("status", 429), "status 429"),
    "is somebody else's page": (("html",), FOREIGN),
    "has no flavor": (("no_flavor",), FOREIGN),
    "has another flavor": (("wrong_flavor",), FOREIGN),
    "gives half of the JSON": (("truncated",), "no JSON"),
    "gives nothing": (("truncated", 0), "no JSON"),
    "cuts the headers": (("cut", "headers"), "reading the answer"),
    "cuts the body": (("cut", "body"), "reading the answer"),
    "announces too much": (("length", 10), "reading the answer"),
    "never ends": (("endless",), "too large"),
}


class MetadataFaults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hash = support.make_password()[1]
        no_python = 'schema = 1\n[python]\nkind = "none"\n'
        cls.config = f'{no_python}[jupyter]\npassword_hash = "{cls.hash}"\n'
        cls.vm = cls.make("vm")
        cls.vm.wait_settled(timeout=PATIENCE, states=["ready"])
        cls.vm.reboot(timeout=PATIENCE)  # at once: Google counts both boots together
        cls.on_disk = cls.make("on_disk")
        cls.on_disk.wait_settled(timeout=PATIENCE, states=["ready"])
        (cls.on_disk.root / "etc/agent/agent.toml").write_text(cls.config)
        cls.on_disk.delete_attribute("agent-config")
        cls.identity = cls.identity_of(cls.on_disk)
        # Not earlier: Google's runner of shutdown scripts would wait for it for ever.
        cls.on_disk.poweroff(timeout=PATIENCE)
        cls.on_disk.metadata.down()
        cls.on_disk.boot(timeout=PATIENCE)
        cls.down_since = time.monotonic()

    @classmethod
    def make(cls, name: str) -> Vm:
        vm = Vm(bootstrap=support.BOOTSTRAP, config=cls.config)
        cls.addClassCleanup(vm.stop)
        vm.start()
        cls.addClassCleanup(vm.save_artefacts, support.artefacts(f"metadata_faults/{name}"))
        return vm

    def test_1_a_reboot_right_after_ready_is_not_too_much_for_google(self):
        self.vm.wait_settled(timeout=PATIENCE, states=["ready"])
        writes = support.agent_writes(self.vm)
        print(f"two boots: {len(writes)} writes in {writes[-1]['time'] - writes[0]['time']:.1f} s")
        self.assertEqual({put["status"] for put in writes}, {200})

    def test_2_a_server_that_says_nothing_is_waited_for_aloud(self):
        self.vm.metadata.fault(".*", "hang")  # writes as well
        self.vm.run(["systemctl", "stop", "agent"], timeout=PATIENCE)
        self.assertEqual(support.property_of(self.vm, "agent.service", "Result"), "success")
        self.vm.run(["systemctl", "start", "agent"], timeout=PATIENCE)
        self.assertEqual(support.status_json(self.vm)["summary"], ASKING)
        self.assertEqual(support.status(self.vm).stdout.splitlines()[1], ASKING)
        self.vm.metadata.clear_faults()
        self.await_ready(self.vm)

    def test_3_every_fault_is_named_and_then_forgotten(self):
        before = self.identity_of(self.vm)
        for what, (fault, expected) in FAULTS.items():
            with self.subTest(what):
                self.fault_and_restart(self.vm, *fault)
                self.assert_named(self.vm, expected)
                self.vm.metadata.clear_faults()
                self.await_ready(self.vm)
                self.assertEqual(self.identity_of(self.vm), before)
        with self.subTest("is not there"):
            self.vm.metadata.down()
            self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
            self.assert_named(self.vm, REFUSED)
            self.vm.metadata.up()
            self.await_ready(self.vm)

    def test_4_a_bad_moment_passes_by_itself(self):
        self.vm.metadata.fault("recursive=true", "status", 503, times=8, method="GET")
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        self.await_ready(self.vm)

    def test_5_a_fault_of_a_ready_machine_changes_nothing(self):
        before = support.status_json(self.vm)
        self.vm.metadata.fault(".*", "html")
        self.vm.metadata.set("instance/attributes/another", "x")  # ends the waiting for a change
        wait_for(lambda: self.vm.metadata.polls() == [], "the daemon to meet the fault")
        self.assertEqual(support.status_json(self.vm), before)
        self.vm.metadata.clear_faults()
        wait_for(lambda: self.vm.metadata.polls() != [], "the daemon to wait for a change again")
        self.await_ready(self.vm)

    def test_6_the_project_s_configuration_is_not_the_instance_s(self):
        before = support.status_json(self.vm)["config_sha256"]
        self.vm.metadata.set("project/attributes/agent-config", 'schema = 1\nnonsense = "x"\n')
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        self.await_ready(self.vm)
        self.assertEqual(support.status_json(self.vm)["config_sha256"], before)

    def test_7_a_boot_without_the_server_goes_on_with_the_disk(self):
        if time.monotonic() - self.down_since < 40:
            self.assert_named(self.on_disk, REFUSED)
            found = support.status_json(self.on_disk)["problem"]
            self.assertIn("goes on with the configuration", found["next"])
        self.await_ready(self.on_disk)
        self.assertIn("going on without the metadata server", self.on_disk.journal("agent"))
        self.assertEqual(self.identity_of(self.on_disk), self.identity)
        self.on_disk.metadata.up()
        number = str(self.on_disk.metadata.get("instance/id"))
        wait_for(
            lambda: support.status_json(self.on_disk)["instance_id"] == number,
            "the daemon to learn which instance this is",
        )
        self.await_ready(self.on_disk)
        self.assertEqual(self.identity_of(self.on_disk), self.identity)

    def test_8_the_last_state_arrives_and_nothing_was_too_much(self):
        for vm in (self.vm, self.on_disk):
            boot_id = vm.boot_id()
            wait_for(
                lambda: vm.guest_attributes().get("agent/state") == "ready"
                and vm.report()["state"] == "ready"
                and vm.report()["boot_id"] == boot_id,
                "the last state in the guest attributes",
            )
            answers = [put["status"] for put in support.agent_writes(vm)]
            print(f"{len(answers)} writes of guest attributes")
            self.assertNotIn(429, answers)
            told = str([vm.guest_attributes(), support.status_json(vm), vm.journal()])
            for secret in (self.hash, self.hash.rpartition("$")[2], "emulator-access-token"):
                self.assertNotIn(secret, told)

    def fault_and_restart(self, vm: Vm, kind: str, value=None) -> None:
        """Every read of the daemon that starts now meets the fault."""
        vm.metadata.fault("recursive=true", kind, value, method="GET")
        vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)

    def assert_named(self, vm: Vm, expected: str) -> None:
        """`agent status` says so to anybody while it waits, and what it means to do."""
        found = wait_for(lambda: support.status_json(vm).get("problem"), "the fault to be named")
        print(f"{found['message']}; next: {found['next']}")
        self.assertIn(expected, found["message"])
        said = support.status(vm)
        words = " ".join(said.stdout.split())
        self.assertEqual(said.returncode, 3, said.stdout)
        self.assertTrue(words.startswith("starting for "), words)
        self.assertIn(f"starting: {' '.join(found['message'].split())}", words)
        self.assertIn(f"next: {found['next']}", words)

    def await_ready(self, vm: Vm) -> None:
        def ready() -> bool:
            found = support.status_json(vm)
            self.assertNotEqual(found.get("state"), "failed", found)
            return found.get("state") == "ready" and found["problem"] is None

        wait_for(ready, "the machine to be ready by itself")

    @staticmethod
    def identity_of(vm: Vm) -> list[str]:
        """What another instance would be given anew."""
        files = ["/var/lib/agent/front/tls.pem", "/var/lib/agent/front/token"]
        return vm.run(["sh", "-c", f"sha256sum {' '.join(files)} 2>&1"], check=False).stdout.split()


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
