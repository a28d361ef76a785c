#!/usr/bin/python3
"""Proves that on port 443 nobody is refused and nobody hangs, whatever is killed or restarted behind
it, and that a new certificate disturbs no session."""

import http.client
import shutil
import ssl
import sys
import threading
import time
import unittest

import support
from support import PATIENCE, Vm, wait_for

PORT = 443
PAGE, JUPYTER = 503, 302  # of "/", to somebody who has not logged in
UNSAFE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNSAFE.check_hostname, UNSAFE.verify_mode = False, ssl.CERT_NONE


def connect(vm: Vm) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(vm.address, PORT, context=UNSAFE, timeout=20)


def status_of(connection: http.client.HTTPConnection, path: str = "/") -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


class Asker:
    """Asks for "/" over a new connection every 100 ms and keeps what it was answered, and when."""

    def __init__(self, vm: Vm):
        self._vm = vm
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: list[tuple[float, int]] = []
        self.failures: list[str] = []

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            connection = connect(self._vm)
            try:
                code = status_of(connection)
                self.answers.append((time.monotonic(), code))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"after {len(self.answers)} answers: {error!r}")
            finally:
                connection.close()

    def first(self, code: int, after: float) -> float:
        """Seconds from `after` on until somebody was first answered so."""
        found = wait_for(
            lambda: next((t for t, c in list(self.answers) if c == code and t > after), None),
            f"an answer {code}; so far {self.answers[-3:]} {self.failures}",
            timeout=120,
        )
        return found - after


class Front(unittest.TestCase):
    def test_nobody_is_refused_or_left_waiting(self):
        kept = support.artefacts("front")
        self.hash = support.make_password()[1]
        with Vm(bootstrap=support.BOOTSTRAP, config=self.config(), artefacts=kept) as self.vm:
            report = self.vm.wait_settled(timeout=PATIENCE)
            self.assertEqual(report["state"], "ready", report)
            self.assertEqual(report["url"], f"https://{self.vm.address}/")
            self.plain_http_is_redirected()
            self.restarts_are_survived()
            self.a_new_certificate_disturbs_nobody(report["certificate_sha256"])

    def config(self, tls: str = "") -> str:
        return support.config(["jupyterlab"], self.hash) + f"port = {PORT}\n" + tls

    def plain_http_is_redirected(self) -> None:
        plain = http.client.HTTPConnection(self.vm.address, PORT, timeout=20)
        plain.request("GET", "/lab", headers={"Host": "jupyter.example.com"})
        answer = plain.getresponse()
        self.assertEqual((answer.status, answer.getheader("Location")),
                         (301, "https://jupyter.example.com/lab"))
        plain.close()
        plain.request("GET", "/lab", headers={"Host": "evil/@example.com"})
        self.assertEqual(plain.getresponse().status, 400)
        plain.close()

    def restarts_are_survived(self) -> None:
        with Asker(self.vm) as asker:
            asker.first(JUPYTER, 0)
            begin = time.monotonic()
            kill = ["systemctl", "kill", "--signal=KILL", "--kill-who=all", "agent-jupyter.service"]
            self.vm.run(kill)
            page, back = asker.first(PAGE, begin), asker.first(JUPYTER, begin + 1)
            print(f"Jupyter killed: the page after {page:.2f} s, Jupyter after {back + 1:.2f} s")
            self.assertLess(page, 3)
            for what in (["restart"], ["kill", "--signal=KILL"], ["restart"]):
                begin = time.monotonic()
                process = support.property_of(self.vm, "agent-front.service", "MainPID")
                if len(what) == 1:  # an upgrade: another file in the place of the running one
                    agent = self.vm.root / "usr/local/bin/agent"
                    shutil.copy(agent, agent.with_name("agent.new"))
                    agent.with_name("agent.new").rename(agent)
                self.vm.run(["systemctl", *what, "agent-front.service"])
                wait_for(lambda: self.is_another(process), "another front", timeout=60)
                print(f"front {what[0]}: Jupyter after {asker.first(JUPYTER, begin):.2f} s")
            self.vm.run(["systemctl", "restart", "agent-jupyter.service"], timeout=PATIENCE)
            asker.first(JUPYTER, time.monotonic())
        print(f"{len(asker.answers)} answers, {len(asker.failures)} without: {asker.failures}")
        refused = [failure for failure in asker.failures if "Refused" in failure]
        hung = [failure for failure in asker.failures if "imed" in failure]
        self.assertEqual((refused, hung), ([], []))
        # A front that is killed takes along whom it was just serving, and nobody else.
        self.assertLessEqual(len(asker.failures), 2)

    def is_another(self, process: str) -> bool:
        now = support.property_of(self.vm, "agent-front.service", "MainPID")
        return now not in ("0", process)

    def a_new_certificate_disturbs_nobody(self, before: str) -> None:
        inside = connect(self.vm)
        self.assertEqual(status_of(inside), JUPYTER)
        held = inside.sock
        process = support.property_of(self.vm, "agent-front.service", "MainPID")
        self.vm.set_attribute(
            "agent-config", self.config('[tls]\nnames = ["jupyter.example.com"]\n')
        )
        report = wait_for(
            lambda: (now := self.vm.report())["certificate_sha256"] != before
            and now["state"] == "ready" and now,
            "another certificate",
        )
        self.assertEqual(status_of(inside), JUPYTER)
        self.assertIs(inside.sock, held)
        self.assertEqual(support.property_of(self.vm, "agent-front.service", "MainPID"), process)
        shown = ssl.get_server_certificate((self.vm.address, PORT), timeout=30)
        digest = support.hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()
        self.assertEqual(digest, report["certificate_sha256"])
        told = support.property_of(self.vm, "agent-front.service", "StatusText")
        self.assertTrue(told.startswith(f"certificate {digest[:12]}"), told)
        inside.close()


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
