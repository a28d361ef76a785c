#!/usr/bin/python3
"""Proves that the one binary makes the same machine of the oldest and of the newest Debian it knows.

Bookworm is what the other tests run on. Both VMs are set up side by side, since most of it is waiting.
"""

import concurrent.futures
import http.cookiejar
import json
import re
import shutil
import ssl
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import support
from support import INSTALLED, PATIENCE, PORT, Vm, wait_for

import tree  # the testbed's, as vm

RELEASES = {"bullseye": "11", "trixie": "13"}
PLACES = ["/usr/local", "/etc/systemd", "/etc/agent", "/var/lib/agent", "/opt"]
OUR_UNITS = ["agent.service", "agent-front.socket", "agent-front.service", "agent-jupyter.service"]

# Lets the kernel of a connection file compute something, as a notebook's cell does.
COMPUTE = """
import sys
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
wanted = {"found": "(sys.version_info[:2], 6 * 7)"}
reply = client.execute("import sys", user_expressions=wanted, reply=True, timeout=120)
print(reply["content"]["user_expressions"]["found"]["data"]["text/plain"])
"""


class Releases(unittest.TestCase):
    def test_a_jupyter_on_each_of_them_that_a_reboot_keeps(self):
        with concurrent.futures.ThreadPoolExecutor() as together:
            found = {suite: together.submit(Release(suite).prove) for suite in RELEASES}
        for suite, outcome in found.items():
            with self.subTest(suite):
                outcome.result()


class Release(unittest.TestCase):
    """One of them; its failure is raised where the thread is asked for its result."""

    def __init__(self, suite: str):
        super().__init__("prove")
        self.suite = suite
        self.start = time.monotonic()

    def say(self, line: str) -> None:
        print(f"{self.suite}: {time.monotonic() - self.start:5.1f} s  {line}")

    def prove(self) -> None:
        self.password, password_hash = support.make_password()
        kept = support.artefacts(f"releases_{self.suite}")
        # Where the archive has no runner of startup scripts, it is installed as by hand.
        runner = "google-guest-agent" not in tree.ABSENT.get(self.suite, ())
        vm = Vm(
            name=f"vm-{self.suite}",
            suite=self.suite,
            bootstrap=support.BOOTSTRAP if runner else None,
            config=support.config(["jupyterlab"], password_hash, support.old_libraries()),
            artefacts=kept,
        )
        with vm:
            self.vm = vm
            self.say(f"is up, {vm.run(['systemctl', '--version']).stdout.splitlines()[0]}")
            self.assertIn(f'VERSION_ID="{RELEASES[self.suite]}"', self.read("/etc/os-release"))
            if not runner:
                shutil.copy(support.BOOTSTRAP, vm.root / "root" / "bootstrap")
                installed = vm.run(["/root/bootstrap"], timeout=PATIENCE)
                self.say(installed.stdout.splitlines()[-1])
            self.assertEqual(vm.wait_settled(timeout=PATIENCE)["state"], "ready", vm.report())
            self.say(vm.report()["summary"])
            self.check_the_binary_and_its_units()
            self.check_the_libraries("applied")
            self.check_the_way_in()
            self.check_a_reboot()
            self.check_the_libraries("satisfied")
            vm.save_artefacts(kept)

    def read(self, path: str) -> str:
        return self.vm.run(["cat", path]).stdout

    def check_the_binary_and_its_units(self) -> None:
        linked = self.vm.run(["ldd", INSTALLED], check=False)
        self.assertIn("not a dynamic executable", linked.stdout + linked.stderr)
        status = support.status(self.vm)
        self.assertEqual((status.returncode, status.stdout.split()[0]), (0, "ready"), status)
        # A directive that this systemd does not know is passed over: no protection, and no error.
        units = [f"/usr/local/lib/systemd/system/{unit}" for unit in OUR_UNITS]
        said = self.vm.run(["systemd-analyze", "verify", *units], check=False)
        about_ours = [line for line in said.stderr.splitlines() if "agent" in line]
        self.assertEqual(about_ours, [])
        for unit in OUR_UNITS:
            self.assertNotRegex(self.vm.journal(unit), r"(?i)unknown (key|lvalue|section)")
        exposure = self.vm.run(["systemd-analyze", "security", "agent-front.service"]).stdout
        level = re.search(r"exposure level for agent-front\.service: ([\d.]+)", exposure)[1]
        self.say(f"agent-front.service is exposed {level} of 10")
        self.assertLess(float(level), 1.0)

    def check_the_libraries(self, state: str) -> None:
        """Those that went are here by their newer names, and that is said."""
        names = ["libxrandr2", "libgl1", "libegl1", "libxtst6"]
        newer = ["libasound2t64", *names] if self.suite == "trixie" else ["libasound2", *names]
        self.vm.run(["dpkg-query", "--show", *newer])
        step = next(s for s in support.status_json(self.vm)["steps"] if s["id"] == "apt_packages")
        self.assertEqual(step["state"], state, step)
        renamed = step["reason"].split("; ") if step["reason"] else []
        self.say(f"apt_packages is {state}: {step['reason'] or 'by the names asked for'}")
        if self.suite == "trixie":
            self.assertIn("libasound2 as libasound2t64", renamed)
            self.assertIn("libegl1-mesa as libegl1", renamed)
            self.assertIn("libgl1-mesa-glx as libgl1 and libgl1-mesa-dri", renamed)
            said = self.read("/var/log/agent/apt_packages.log")
            self.assertIn("this release has libasound2 as libasound2t64", said)
        else:
            self.assertEqual(renamed, [])

    def check_the_way_in(self) -> None:
        """The login page, a wrong and the right password, and a kernel, all under our certificate."""
        self.certificate = support.Certificate(self.vm)
        self.assertEqual(self.certificate.sha256, self.vm.report()["certificate_sha256"])
        self.assertEqual(support.get(self.vm, self.certificate, "/api/contents")[0], 403)
        person = Person(self.vm, self.certificate.trusted)
        self.assertIn('id="password_input"', person.log_in("not " + self.password))
        self.assertEqual(person.ask("/api/status")[0], 403)
        person.log_in(self.password)
        code, status = person.ask("/api/status")
        self.assertEqual(code, 200, status)
        code, kernel = person.ask("/api/kernels", {})
        self.assertEqual(code, 201, kernel)
        home = self.vm.run(["getent", "passwd", "jupyter"]).stdout.split(":")[5]
        connection = f"{home}/.local/share/jupyter/runtime/kernel-{kernel['id']}.json"
        wait_for(lambda: (self.vm.root / connection[1:]).exists(), "a kernel")
        as_user = ["setpriv", "--reuid=jupyter", "--regid=jupyter", "--clear-groups"]
        compute = ["/opt/jupyter/bin/python", "-c", COMPUTE, connection]
        computed = self.vm.run([*as_user, *compute], timeout=PATIENCE).stdout.strip()
        self.assertTrue(computed.endswith(" 42)"), computed)
        self.say(f"logged in; a kernel says {computed}")

    def check_a_reboot(self) -> None:
        before = support.manifest(self.vm, PLACES)
        self.vm.reboot(timeout=PATIENCE)
        self.assertEqual(self.vm.wait_settled(timeout=PATIENCE)["state"], "ready", self.vm.report())
        states = support.step_states(self.vm)
        self.assertEqual([step for step, state in states.items() if state != "satisfied"], [])
        self.assertEqual(support.changes(before, support.manifest(self.vm, PLACES)), [])
        self.assertEqual(support.Certificate(self.vm).sha256, self.certificate.sha256)
        self.say("rebooted, nothing was done again")


class Person:
    """Somebody with a browser: keeps cookies, and sends Jupyter's own back as its header."""

    def __init__(self, vm: Vm, trusted: ssl.SSLContext):
        self._address = f"https://{vm.address}:{PORT}"
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=trusted),
            urllib.request.HTTPCookieProcessor(self._cookies),
            urllib.request.ProxyHandler({}),
        )

    def log_in(self, password: str) -> str:
        """The page that the login leads to, or the login again."""
        self._open("/login")
        form = {"password": password, "_xsrf": self._xsrf()}
        return self._open("/login", urllib.parse.urlencode(form).encode())[1]

    def ask(self, path: str, posted: dict | None = None) -> tuple[int, dict]:
        body = None if posted is None else json.dumps(posted).encode()
        code, text = self._open(path, body)
        return code, json.loads(text)

    def _xsrf(self) -> str:
        return next((c.value for c in self._cookies if c.name == "_xsrf"), "")

    def _open(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        request = urllib.request.Request(self._address + path, body)
        request.add_header("X-XSRFToken", self._xsrf())
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
