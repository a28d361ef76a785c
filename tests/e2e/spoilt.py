#!/usr/bin/python3
"""Proves that a machine whose Jupyter configuration, token or certificate is spoilt (F41) is closed until
the agent has made it anew, and that it makes anew nothing else.

One VM meets every fault; it is born from an image, for how it is set up is not the question.
"""

import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable

import support
from support import PATIENCE, PORT, Vm, wait_for

import image  # the testbed's, as vm

JUPYTER = "etc/agent/jupyter.json"
TOKEN = "var/lib/agent/front/token"
CERTIFICATE = "var/lib/agent/front/tls.pem"
AUTHORITY = """
[ca]
default_ca = it
[it]
database = {0}/index
new_certs_dir = {0}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


class Spoilt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        layer = image.provisioned(support.BOOTSTRAP, support.config(["jupyterlab"]))
        config = support.config(["jupyterlab"], support.make_password()[1])
        cls.vm = Vm(bootstrap=support.BOOTSTRAP, config=config, layers=[layer])
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, support.artefacts("spoilt"))
        assert cls.vm.wait_settled(timeout=PATIENCE)["state"] == "ready", cls.vm.report()

    def test_1_what_jupyter_lives_on(self):
        path = self.vm.root / JUPYTER
        whole = path.read_text()
        opened = json.loads(whole)
        opened["PasswordIdentityProvider"] |= {"token": "", "hashed_password": ""}
        opened["IdentityProvider"] |= {"token": ""}
        for what, spoil in {
            "is missing": path.unlink,
            "is empty": lambda: path.write_text(""),
            "is cut": lambda: path.write_text(whole[: len(whole) // 2]),
            "is no configuration": lambda: path.write_text("[]"),
            "asks for nothing": lambda: path.write_text(json.dumps(opened)),
        }.items():
            with self.subTest(what):
                spoil()
                self.vm.run(["systemctl", "restart", "agent-jupyter"], check=False)
                self.assertNotEqual(self.property("agent-jupyter", "ActiveState"), "active")
                self.assert_closed()
        self.heal({"jupyter_config", "jupyter_unit"})
        self.assertEqual(path.read_text(), whole)

    def test_2_the_certificate(self):
        path = self.vm.root / CERTIFICATE
        for what, spoil in {
            "is missing": path.unlink,
            "is empty": lambda: path.write_text(""),
            "is cut": lambda: path.write_text(path.read_text()[:300]),
            "is another key's": lambda: path.write_text(_of_two_keys(path.read_text())),
            "has run out": lambda: path.write_text(_expired()),
            "can be read by others": lambda: path.chmod(0o644),
        }.items():
            with self.subTest(what):
                before = support.status_json(self.vm)["certificate_sha256"]
                spoil()
                self.vm.run(["systemctl", "stop", "agent-front.service"])
                self.assert_closed()
                self.heal({"tls_certificate", "front"})
                certificate = support.Certificate(self.vm)
                self.assertNotEqual(certificate.sha256, before)
                self.assertEqual(path.stat().st_mode & 0o777, 0o600)
                told = support.status_json(self.vm)["certificate_sha256"]
                self.assertEqual(told, certificate.sha256)

    def test_3_the_token(self):
        path = self.vm.root / TOKEN
        before = path.read_text()
        path.write_text("too short")
        self.heal({"jupyter_token", "jupyter_config", "front", "jupyter_unit"})
        self.assertNotEqual(path.read_text(), before)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def heal(self, steps: set[str]) -> None:
        """The next run makes these anew, and nothing else."""
        self.vm.run(["systemctl", "restart", "agent"], timeout=PATIENCE)
        wait_for(self.is_ready, "the machine again", timeout=90)
        states = support.step_states(self.vm)
        done = {step for step, state in states.items() if state != "satisfied"}
        print(f"made anew: {', '.join(sorted(done))}")
        self.assertLessEqual(done, steps)
        self.assertNotEqual(done, set())
        self.assertEqual(support.get(self.vm, support.Certificate(self.vm), "/api/contents")[0], 403)

    def is_ready(self) -> bool:
        return support.status_json(self.vm)["state"] == "ready"

    def assert_closed(self) -> None:
        """Nobody gets anything of Jupyter's, and nothing at all in plain text."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        for wrap in (lambda plain: plain, context.wrap_socket):
            answer = self.answer(wrap)
            self.assertNotIn(b" 200 ", answer.split(b"\r\n")[0])
            self.assertNotIn(b'"content"', answer)

    def answer(self, wrap: Callable[[socket.socket], socket.socket]) -> bytes:
        try:
            with wrap(socket.create_connection((self.vm.address, PORT), timeout=5)) as connection:
                connection.sendall(b"GET /api/contents HTTP/1.0\r\nHost: x\r\n\r\n")
                return connection.recv(65536)
        except OSError:
            return b""

    def property(self, unit: str, name: str) -> str:
        return support.property_of(self.vm, unit, name)


def _of_two_keys(pem: str) -> str:
    """The certificate of `pem`, and a key that is not its own."""
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    end = pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----\n")
    return _openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]) + pem[
        begin:end
    ]


def _expired() -> str:
    """A key and its certificate, of the year 2020."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        (place / "index").touch()
        (place / "authority").write_text(AUTHORITY.format(place))
        key, request = place / "key", place / "request"
        subject = ["-subj", "/CN=x", "-nodes", "-newkey", "rsa:2048"]
        _openssl(["req", "-new", *subject, "-keyout", str(key), "-out", str(request)])
        dates = ["-startdate", "200101000000Z", "-enddate", "200201000000Z"]
        signed = ["-selfsign", "-keyfile", str(key), "-in", str(request), "-notext", *dates]
        return key.read_text() + _openssl(
            ["ca", "-batch", "-config", str(place / "authority"), *signed]
        )


def _openssl(arguments: list[str]) -> str:
    return subprocess.run(
        ["openssl", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
