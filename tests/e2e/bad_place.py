#!/usr/bin/python3
"""Proves that a machine in a bad place is set up all the same, and says what it waits for: no route when
it boots (F25), name servers that say nothing or something wrong (F26), a /tmp that is tiny and executes
nothing (F16), and an agent that is killed while it installs (F02).
"""

import re
import socket
import sys
import threading
import time
import unittest

import support
from support import PATIENCE, Vm, wait_for

import machine  # the testbed's, as vm

HEADER = 12  # bytes of a DNS message before its question
FAILED, NO_SUCH_NAME = 2, 3  # its answers' codes


class Resolver:
    """A name server in front of the machine's own, whose `mood` is silent, wrong, failing or well."""

    def __init__(self, address: str):
        self.mood = "silent"
        self.asked = 0
        own = re.findall(r"^nameserver\s+(\S+)", machine.resolver(), re.M)
        self._own = next(one for one in own if ":" not in one)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self._answer, args=(query, sender), daemon=True).start()

    def _answer(self, query: bytes, sender) -> None:
        code = {"wrong": NO_SUCH_NAME, "failing": FAILED}.get(self.mood)
        if self.mood == "silent":
            return
        if code is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
                relay.settimeout(10)
                relay.sendto(query, (self._own, 53))
                answer = relay.recv(65535)
        else:
            flags = bytes([0x80 | (query[2] & 0x79), 0x80 | code])
            answer = query[:2] + flags + query[4:6] + bytes(6) + query[HEADER:]
        self._socket.sendto(answer, sender)


class BadPlace(unittest.TestCase):
    def test_a_machine_in_a_bad_place(self):
        self.vm = Vm(
            bootstrap=support.BOOTSTRAP,
            config=support.config([], support.make_password()[1]),
        )
        self.addCleanup(self.vm.stop)
        self.vm.create()
        self.addCleanup(self.vm.save_artefacts, support.artefacts("bad_place"))
        resolver = Resolver(self.vm.host_address)
        self.addCleanup(resolver.stop)
        server = f"nameserver {self.vm.host_address}\noptions timeout:1 attempts:1\n"
        (self.vm.root / "etc/resolv.conf").write_text(server)
        self.vm.cut_off()
        self.vm.boot()
        options = "mode=1777,noexec,nosuid,nodev,size=1m"
        self.vm.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", "/tmp"])

        self.told("waiting for the network, this machine has no route yet", "the missing route")
        route = ["ip", "route", "add", "default", "via", self.vm.host_address]
        self.vm.run(route)
        for mood, words in {"silent": "", "wrong": "", "failing": "Temporary failure "}.items():
            resolver.mood, asked = mood, resolver.asked
            wait_for(lambda: resolver.asked > asked, f"the {mood} name server to be asked")
            servers = f"name servers: {self.vm.host_address}"
            self.told(f"(?s){words}.*{servers}", f"the {mood} name server")
        self.assertEqual(support.status(self.vm).returncode, 3)
        resolver.mood = "well"

        wait_for(lambda: self.processes("uv"), "the installation", timeout=300, every=0.02)
        pid = support.property_of(self.vm, "agent.service", "MainPID")
        self.vm.run(["kill", "-KILL", pid])
        wait_for(lambda: not self.processes("uv"), "its installer to be ended", timeout=30)

        report = self.vm.wait_settled(timeout=PATIENCE)
        self.assertEqual(report["state"], "ready", report)
        self.assertNotEqual(support.property_of(self.vm, "agent.service", "MainPID"), pid)
        certificate = support.Certificate(self.vm)
        self.assertEqual(support.get(self.vm, certificate, "/api/contents")[0], 403)
        self.assertFalse((self.vm.root / "var/lib/agent/scratch").exists())

    def told(self, pattern: str, what: str) -> None:
        def it() -> str | None:
            steps = support.status_json(self.vm).get("steps", [])
            reasons = [one["reason"] or "" for one in steps if one["id"] == "apt_packages"]
            return next((reason for reason in reasons if re.search(pattern, reason)), None)

        start = time.monotonic()
        reason = wait_for(it, f"{what} to be told", timeout=120)
        print(f"after {time.monotonic() - start:.1f} s: {reason}")

    def processes(self, name: str) -> list[str]:
        return self.vm.run(["pgrep", "-x", name], check=False).stdout.split()


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
