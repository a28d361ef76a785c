#!/usr/bin/python3
"""Proves that a slow and lossy link delays and spoils nothing: metadata, guest attributes, the page.
The guest's kernel makes the link so (netem). Covers F27 as far as it is not a download's."""

import json
import sys
import time
import unittest

import guest
from guest import PATIENCE, support

ROWS = "F27"
INTERFACE = "ens4"
LINK = "delay 200ms 50ms loss 8% rate 512kbit"


class Link(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guest = guest.shared()
        cls.guest.set_right()

    def setUp(self):
        self.guest.sh(f"tc qdisc add dev {INTERFACE} root netem {LINK}")

    def tearDown(self):
        print(self.guest.sh(f"tc -s qdisc show dev {INTERFACE} | sed -n 2p"))
        self.guest.sh(f"tc qdisc del dev {INTERFACE} root")

    def test_1_a_start_converges_and_the_world_hears_of_it(self):
        self.guest.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        status = self.guest.await_state("ready")
        since = status["since"]

        def arrived() -> bool:
            report = self.guest.vm.report()
            if not report or (report["state"], report["since"]) != ("ready", since):
                return False
            return self.guest.vm.guest_attributes()["agent/state"] == "ready"

        support.wait_for(arrived, "the last word in the guest attributes", PATIENCE, 0.5)

    def test_2_the_front_and_a_kernel_behind_it(self):
        for _ in range(3):
            self.assertEqual(self.guest.get("/api/contents")[0], 403)
        with self.guest.jupyter().kernel() as kernel:
            self.assertEqual(kernel.run("6 * 7", timeout=PATIENCE), "42")

    def test_3_a_change_of_the_configuration_is_heard_of(self):
        self.guest.vm.set_attribute("agent-config", "schema = 1\nnonsense = true\n")
        began = time.monotonic()
        problem = lambda: self.guest.status().get("problem")  # noqa: E731
        found = support.wait_for(problem, "the complaint about it", PATIENCE, 0.5)
        print(f"heard of after {time.monotonic() - began:.1f} s: {json.dumps(found)}")
        self.assertEqual(found["kind"], "misconfigured")
        self.guest.vm.set_attribute("agent-config", self.guest.config())
        support.wait_for(lambda: not problem(), "the complaint's end", PATIENCE, 0.5)


if __name__ == "__main__":
    sys.exit(guest.run(["link"]))
