#!/usr/bin/python3
"""Proves the whole line: metadata alone makes a bare VM draw a plot, and a reboot keeps it so."""

import json
import re
import statistics
import sys
import time
import unittest

import support
from support import INSTALLED, PATIENCE, PORT, Vm, wait_for

from browser import browser  # the testbed's, as vm
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CELL = (
    "import pandas as pd, matplotlib.pyplot as plt; "
    "pd.Series([1, 4, 9, 16, 25]).plot(marker='o'); plt.title('squares')"
)
REPORT_KEYS = {
    *("schema", "state", "summary", "boot_id", "instance_id", "config_sha256", "since", "url"),
    *("certificate_sha256", "ssh_public_key", "problem"),
}
STEP_KEYS = {"id", "state", "reason", "attempts", "started", "seconds", "error"}
ORDER = ["starting", "provisioning", "ready"]
WRONG_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
METADATA = "169.254.169.254"  # the emulator listens inside the VM
IN_THE_BROWSER = 120  # seconds for what takes a few
MOST_MEMORY = 12 * 1024  # KiB, each

TIME_STATUS = """
import subprocess, time
for _ in range(20):
    start = time.perf_counter()
    subprocess.run(["/usr/local/bin/agent", "status"], stdout=subprocess.DEVNULL, check=True)
    print(time.perf_counter() - start)
"""

# Reads words, one a line, and prints where in the VM anybody could have come across one of them.
FIND_WORDS = """
import pathlib, subprocess, sys
words = sys.stdin.buffer.read().split()
def look(place, content):
    for word in words:
        if word in content:
            print(place)
journal = subprocess.run(["journalctl", "-a", "-o", "export"], stdout=subprocess.PIPE, check=True)
look("the journal", journal.stdout)
for pattern in ("proc/[0-9]*/cmdline", "proc/[0-9]*/environ", "run/agent/**/*", "var/log/**/*"):
    for path in pathlib.Path("/").glob(pattern):
        try:
            if path.is_file():
                look(path, path.read_bytes())
        except OSError:
            pass
"""


class FirstNotebook(unittest.TestCase):
    def test_a_bare_vm_becomes_a_notebook_and_stays_one(self):
        kept = support.artefacts("first_notebook")
        self.password, self.hash = support.make_password()
        config = support.config(["jupyterlab", "pandas", "matplotlib"], self.hash)
        with Vm(bootstrap=support.BOOTSTRAP, config=config, artefacts=kept) as self.vm:
            self.address = f"https://{self.vm.address}:{PORT}"
            with support.Prober(self.vm) as prober:
                self.certificate = self.announced_certificate()
                with browser(kept / "failed.png", self.certificate.key_pin()) as self.chromium:
                    self.see_the_page(kept / "page.png")
                    self.see_ready_from_outside()
                    self.check_the_ready_vm()
                    self.check_another_key_is_refused()
                    self.log_in()
                    self.assertEqual(prober.turned_away, [])
                    print(f"{prober.accepted} connections accepted, none turned away")
                    self.draw(kept / "notebook.png")
                    self.check_secrets()
                    self.reboot()
            self.vm.save_artefacts(kept)

    # From the first accepted connection to ready

    def announced_certificate(self) -> support.Certificate:
        """The one whose SHA-256 the guest attributes carry, as soon as they do."""
        wait_for(lambda: support.accepts(self.vm), f"port {PORT}")
        report = wait_for(
            lambda: (self.vm.report() or {}).get("certificate_sha256") and self.vm.report(),
            "a certificate in the guest attributes",
        )
        certificate = support.Certificate(self.vm)
        self.assertEqual(certificate.sha256, report["certificate_sha256"])
        return certificate

    def see_the_page(self, screenshot) -> None:
        self.chromium.get(self.address)
        title = wait_for(
            lambda: self.title() if ": " in self.title() else None, "a step's name on the page"
        )
        self.chromium.save_screenshot(str(screenshot))
        print(f"the page: {title}")
        what, step = title.split(": ")
        self.assertEqual(what, "Not ready yet")
        self.assertIn(step, support.step_states(self.vm))

    def see_ready_from_outside(self) -> None:
        def is_ready() -> bool:
            state = self.vm.guest_attributes().get("agent/state")
            self.assertIn(state, ORDER, self.vm.report())
            return state == "ready"

        wait_for(is_ready, "agent/state to be ready")
        self.assertEqual(self.vm.report()["state"], "ready")
        writes = support.agent_writes(self.vm)
        states = [put["value"] for put in writes if put["path"].endswith("/agent/state")]
        self.assertEqual(states, sorted(states, key=ORDER.index))
        busiest = support.most_in_a_minute([put["time"] for put in writes])
        print(f"states {states}; {len(writes)} writes, at most {busiest} in a minute")
        self.assertLessEqual(busiest, 6)

    # What a ready VM is like

    def check_the_ready_vm(self) -> None:
        with self.subTest("agent status"):
            said = support.status(self.vm)
            print(said.stdout)
            self.assertEqual((said.returncode, said.stdout.split()[0]), (0, "ready"))
            asked = self.vm.ssh("someone", ["agent", "status", "--json"])
            found = json.loads(asked.stdout)
            self.assertEqual(set(found), REPORT_KEYS | {"steps"})
            self.assertEqual(set(self.vm.report()), REPORT_KEYS)
            for step in found["steps"]:
                self.assertEqual(set(step), STEP_KEYS)
            self.assertEqual(found["url"], f"{self.address}/")
        with self.subTest("the time of agent status"):
            times = self.vm.run(["python3", "-c", TIME_STATUS], timeout=PATIENCE).stdout.split()
            print(f"agent status: {1000 * statistics.median(map(float, times)):.1f} ms")
        for unit in ("agent.service", "agent-front.service"):
            with self.subTest("memory", unit=unit):
                process = support.property_of(self.vm, unit, "MainPID")
                about = self.vm.run(["cat", f"/proc/{process}/status"]).stdout
                resident = int(about.split("VmRSS:")[1].split()[0])
                print(f"{unit}: {resident} KiB resident")
                self.assertLessEqual(resident, MOST_MEMORY)
        with self.subTest("nobody gets in without logging in"):
            code, _ = support.get(self.vm, self.certificate, "/api/contents")
            self.assertEqual(code, 403)
        with self.subTest("nothing else listens"):
            listeners = self.vm.run(["ss", "-Hltnp", "not", "src", METADATA]).stdout
            print(listeners)
            found = {line.split()[3].rpartition(":")[2] for line in listeners.splitlines()}
            self.assertEqual(found, {"22", str(PORT)})
            holders = [line for line in listeners.splitlines() if f":{PORT} " in line]
            self.assertEqual(set(re.findall(r'\("(\w+)"', holders[0])), {"agent", "systemd"})
            process = support.property_of(self.vm, "agent-front.service", "MainPID")
            self.assertIn(f"pid={process},", holders[0])

    def check_secrets(self) -> None:
        """Nobody comes across the token, the hash or the password where they have no business."""
        token = self.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
        self.assertEqual(len(token), 64)
        words = [token, self.hash, self.hash.rpartition("$")[2], self.password]
        found = self.vm.run(
            ["python3", "-c", FIND_WORDS], input="\n".join(words), timeout=PATIENCE
        ).stdout
        self.assertEqual(found, "")
        told = json.dumps([self.vm.guest_attributes(), support.agent_writes(self.vm)])
        self.assertFalse([word for word in words if word in told])
        files = ["/var/lib/agent/front/token", "/etc/agent/jupyter.json"]
        modes = self.vm.run(["stat", "--format", "%a %U", *files]).stdout.splitlines()
        self.assertEqual(modes, ["600 root", "640 root"])

    # The browser

    def title(self) -> str:
        try:
            return self.chromium.title
        except WebDriverException:  # between one load of the page and the next
            return ""

    def element(self, selector: str, what: str):
        def find():
            try:
                found = self.chromium.find_elements(By.CSS_SELECTOR, selector)
                return next((element for element in found if element.is_displayed()), None)
            except WebDriverException:
                return None

        return wait_for(find, what, timeout=IN_THE_BROWSER)

    def log_in(self) -> None:
        """The page that was opened while the VM was being made has become Jupyter by itself."""
        self.element("#password_input", "the login").send_keys("not " + self.password)
        self.element("#login_submit", "the login's button").click()
        self.element(".message.error", "the refusal of a wrong password")
        self.assertIn("/login", self.chromium.current_url)
        self.assertIn("Invalid credentials", self.chromium.page_source)
        self.element("#password_input", "the login").send_keys(self.password)
        self.element("#login_submit", "the login's button").click()
        self.element(".jp-LauncherCard", "JupyterLab")
        self.assertTrue(self.chromium.current_url.startswith(f"{self.address}/lab"))

    def draw(self, screenshot) -> None:
        card = '.jp-LauncherCard[data-category="Notebook"]'
        self.element(card, "a kernel to choose").click()
        # What is run before the kernel answers is forgotten.
        bar = self.element("#jp-main-statusbar", "the status bar")
        wait_for(lambda: "| Idle" in bar.text, "an idle kernel", timeout=IN_THE_BROWSER)
        self.element(".jp-Notebook .cm-content", "an empty cell").click()
        cell = self.element(".jp-Notebook .cm-content", "an empty cell")
        cell.send_keys(CELL, Keys.SHIFT, Keys.ENTER)
        image = self.element('.jp-OutputArea-output img[src^="data:image/png"]', "a plot")
        wait_for(lambda: image.get_property("naturalWidth"), "the plot to be drawn")
        size = [image.get_property(name) for name in ("naturalWidth", "naturalHeight")]
        self.chromium.save_screenshot(str(screenshot))
        print(f"a plot of {size[0]} x {size[1]} pixels, see {screenshot}")
        self.assertGreater(min(size), 100)

    def check_another_key_is_refused(self) -> None:
        with browser(trusted_key=WRONG_KEY) as chromium:
            chromium.get(self.address)
            print(f"with another key: {chromium.title}")
            self.assertIn("ERR_CERT_AUTHORITY_INVALID", chromium.page_source)

    # A reboot

    def reboot(self) -> None:
        start = time.monotonic()
        self.vm.reboot(timeout=PATIENCE)
        report = self.vm.wait_settled(timeout=PATIENCE)
        print(f"after a reboot {report['summary']} in {time.monotonic() - start:.1f} s")
        self.assertEqual(report["state"], "ready", report)
        with self.subTest("every step satisfied"):
            found = support.status_json(self.vm)["steps"]
            self.assertEqual([step for step in found if step["state"] != "satisfied"], [])
        with self.subTest("what the outside saw of this boot"):
            wait_for(lambda: self.vm.guest_attributes()["agent/state"] == "ready", "agent/state")
            writes = support.agent_writes(self.vm)
            booted = [n for n, put in enumerate(writes) if '"state":"starting"' in put["value"]]
            self.assertEqual(len(booted), 2, "each boot's first write")
            times = [put["time"] for put in writes]
            busiest = support.most_in_a_minute(times[booted[1] :])
            together = support.most_in_a_minute(times)
            print(f"at most {busiest} writes in a minute; {together} with those of the first boot")
            self.assertLessEqual(busiest, 6)
        with self.subTest("the same certificate"):
            self.assertEqual(support.Certificate(self.vm).sha256, self.certificate.sha256)
        with self.subTest("still logged in"):
            self.chromium.get(f"{self.address}/lab")
            self.element(".jp-LauncherCard, .jp-Notebook", "JupyterLab without a login")
            self.assertIn("/lab", self.chromium.current_url)


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
