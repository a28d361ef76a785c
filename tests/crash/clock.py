#!/usr/bin/python3
"""Proves that a clock which is wrong, or jumps, stops nothing and spoils nothing: waits are monotonic,
the certificate is right for whoever has the right time. Covers F31."""

import re
import sys
import time
import unittest

import guest
from guest import PACKAGES, PATIENCE, support

ROWS = "F31"
YEAR = 365 * 24 * 3600
# Longer than a beat of every watchdog's loop; what hung on the wall clock would show it.
WATCHED = 6
SLOW_INSTALLER = """#!/bin/sh
touch /tmp/slow-begins
sleep 4
echo "error: nothing was installed"
exit 1
"""


class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guest = guest.shared()

    def test_1_a_boot_in_2015_waits_a_minute_and_goes_on(self):
        def waits() -> bool:
            return "waiting for it to be set" in self.guest.step("tls_certificate").get("reason", "")

        support.wait_for(waits, "the step to wait for the clock", PATIENCE, 0.5)
        self.assertIn("the clock is wrong: it says 2015-06-01T", self.guest.step("tls_certificate")["reason"])
        status = self.guest.await_first_ready()
        reason = self.guest.step("tls_certificate")["reason"]
        self.assertIn("the clock is wrong: it says 2015-", reason)
        print(f"tls_certificate: {reason}")
        # Here the clock is right, and the certificate is valid: any other would be refused.
        self.assertEqual(self.guest.certificate.sha256, status["certificate_sha256"])
        self.assertEqual(self.guest.get("/api/contents")[0], 403)

    def test_2_once_the_clock_is_set_nothing_is_made_anew(self):
        lives, certificate = self.guest.lives(), self.guest.certificate.sha256
        self.guest.set_right()
        self._is_as_before(lives)
        self.guest.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        self.assertEqual(self.guest.await_state("ready")["certificate_sha256"], certificate)
        step = self.guest.step("tls_certificate")
        self.assertEqual(step["state"], "satisfied")
        self.assertNotIn("clock", step["reason"])

    def test_3_a_jump_of_a_year_ahead_and_back(self):
        lives = self.guest.lives()
        self.guest.vm.run(["agent", "hold", "2h"])
        with self.guest.jupyter().kernel() as kernel:
            kernel.run("kept = 42", timeout=PATIENCE)
            for years in (1, -2, 1):
                self._jump(years * YEAR)
                ends = time.monotonic() + WATCHED
                while time.monotonic() < ends:
                    self._is_as_before(lives)
                said = self.guest.said()
                print(said.splitlines()[0], "|", said.strip().splitlines()[-1])
                # How long it is ready and held is not of the clock.
                self.assertRegex(said, r"^ready for \d+ (s|min): ")
                held = re.search(r"^held up until (?:\S+ )?(\d\d):(\d\d) UTC by root$", said, re.M)
                now = self.guest.sh("date --utc +%H:%M").split(":")
                left = (int(held[1]) - int(now[0])) * 60 + int(held[2]) - int(now[1])
                self.assertIn(left % 1440, range(100, 121))
                self.assertEqual(kernel.run("kept", timeout=PATIENCE), "42")
        self.guest.vm.run(["agent", "release"])

    def test_4_a_jump_in_the_middle_of_a_step(self):
        self.guest.replace_uv(SLOW_INSTALLER)
        self.guest.ask_for("absent-package")
        begun = lambda: self.guest.sh("ls /tmp/slow-begins", check=False)  # noqa: E731
        support.wait_for(begun, "the installer", PATIENCE, 0.2)
        self._jump(YEAR)
        try:
            failed = self.guest.await_state("failed")
        finally:
            self._jump(-YEAR)
        # It failed by itself, not by its limit of an hour.
        self.assertIn("nothing was installed", failed["problem"]["message"])
        self.assertLess(self.guest.step(PACKAGES)["seconds"], PATIENCE)
        self.guest.ask_for()
        self.guest.await_state("ready")

    def _jump(self, seconds: int) -> None:
        self.guest.sh(f"date --set @$(($(date +%s) + {seconds}))")

    def _is_as_before(self, lives: dict) -> None:
        status = self.guest.status()
        self.assertEqual(status["state"], "ready", status)
        self.assertEqual(self.guest.lives(), lives)


if __name__ == "__main__":
    sys.exit(guest.run(["clock"]))
