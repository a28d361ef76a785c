"""Owns what the tests of apt share: a company's own signed archive, a mirror of it that misbehaves when
told, and a machine that is given one configuration after the other.
"""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import unittest
from collections.abc import Callable

import support
from support import PATIENCE, Vm, wait_for

# Holds a lock as apt does, until its standard input closes.
HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class Key:
    """A signing key of somebody's."""

    def __init__(self, directory: pathlib.Path, name: str):
        directory.mkdir(mode=0o700)
        self._gpg = ["gpg", "--homedir", str(directory), "--batch", "--quiet"]
        self._gpg += ["--pinentry-mode=loopback", "--passphrase="]
        _output([*self._gpg, "--quick-generate-key", name, "ed25519", "sign", "never"])
        self.public = _output([*self._gpg, "--armor", "--export"])

    def clearsigned(self, text: str) -> str:
        return _output([*self._gpg, "--clearsign"], given=text)

    def forget(self) -> None:
        """Ends the agent that gpg started."""
        _output(["gpgconf", "--homedir", self._gpg[2], "--kill", "all"])


@dataclasses.dataclass
class Package:
    """fields are whole lines of its control file; config and templates are debconf's."""

    name: str
    version: str = "1.0"
    fields: str = ""
    postinst: str = ""
    config: str = ""
    templates: str = ""
    size: int = 0  # of a file in it

    def build(self, pool: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory() as directory:
            place = pathlib.Path(directory)
            place.chmod(0o755)
            control = place / "DEBIAN"
            control.mkdir()
            (control / "control").write_text(
                f"Package: {self.name}\nVersion: {self.version}\nArchitecture: all\n"
                f"Maintainer: Company <it@example.com>\n{self.fields}Description: a test\n"
            )
            for name in ("postinst", "config"):
                if script := getattr(self, name):
                    (control / name).write_text(f"#!/bin/sh\nset -e\n{script}\n")
                    (control / name).chmod(0o755)
            if self.templates:
                (control / "templates").write_text(self.templates)
            if self.size:
                data = place / "usr/share" / self.name / "data"
                data.parent.mkdir(parents=True)
                with open(data, "wb") as file:
                    file.truncate(self.size)
            build = ["dpkg-deb", "-Znone", "--root-owner-group", "--build"]
            _output([*build, directory, str(pool)])


class Archive:
    """A directory that is an apt repository."""

    def __init__(self, directory: pathlib.Path, key: Key, packages: list[Package]):
        self._directory = directory
        self._key = key
        self.pool = directory / "pool"
        self._suite = directory / "dists" / "bookworm-company"
        for place in (self._suite / "main" / "binary-amd64", self.pool):
            place.mkdir(parents=True)
        self.add(*packages)

    def add(self, *packages: Package) -> None:
        for package in packages:
            package.build(self.pool)
        index = _output(["dpkg-scanpackages", "--multiversion", "pool"], self._directory)
        (self._suite / "main" / "binary-amd64" / "Packages").write_text(index)
        digest = hashlib.sha256(index.encode()).hexdigest()
        release = (
            "Origin: Company\nSuite: bookworm-company\nCodename: bookworm-company\n"
            f"Architectures: amd64\nComponents: main\nDate: {_output(['date', '-Ru'])}"
            f"SHA256:\n {digest} {len(index)} main/binary-amd64/Packages\n"
        )
        (self._suite / "InRelease").write_text(self._key.clearsigned(release))


class Mirror:
    """Serves a directory; `fault` makes what matches a pattern go wrong, until `heal`.

    lies     other bytes of the same length        refuses   503
    cuts     half of it, then the connection is reset
    stalls   half of it, then nothing
    """

    def __init__(self, directory: pathlib.Path, address: str):
        self.asked: list[str] = []
        self._fault = ("", "")
        self._healed = threading.Event()
        self._directory = directory
        self._address = (address, 0)
        self.start()

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}"

    def fault(self, kind: str, pattern: str) -> None:
        self._healed.clear()
        self._fault = (kind, pattern)

    def heal(self) -> None:
        self._fault = ("", "")
        self._healed.set()

    def start(self) -> None:
        mirror = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(mirror._directory))

            def log_message(self, *_) -> None:
                pass

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    mirror._answer(self)

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self._server = http.server.ThreadingHTTPServer(self._address, Handler)
        self._server.daemon_threads = True
        self._address = self._server.server_address
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """From now on nobody listens."""
        self._healed.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: http.server.SimpleHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        kind, pattern = self._fault
        if not pattern or not re.search(pattern, handler.path):
            http.server.SimpleHTTPRequestHandler.do_GET(handler)
            return
        if kind == "refuses":
            handler.send_error(503)
            return
        body = pathlib.Path(handler.translate_path(handler.path)).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if kind == "lies":
            handler.wfile.write(body[:-1] + bytes([body[-1] ^ 1]))
            return
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        if kind == "stalls":
            self._healed.wait(60)
        reset = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        handler.connection.close()


class AptMachine(unittest.TestCase):
    """One VM that meets one configuration after the other; the class sets `vm`."""

    @classmethod
    def set_up_behind_a_mirror(
        cls,
        name: str,
        packages: list[Package],
        prepare: Callable[[pathlib.Path], None] = lambda root: None,
    ) -> None:
        """A machine that is ready, has no archive of Debian's and asks `mirror` for what `key` signs."""

        def prepared(root: pathlib.Path) -> None:
            (root / "etc/apt/sources.list.d/debian.sources").unlink()
            prepare(root)

        directory = pathlib.Path(tempfile.mkdtemp(prefix=f"agent-{name}."))
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.key = Key(directory / "ours", "Company")
        cls.addClassCleanup(cls.key.forget)
        cls.archive = Archive(directory / "archive", cls.key, packages)
        cls.vm = Vm(bootstrap=support.BOOTSTRAP, config=cls.config([]), prepare=prepared)
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.create()
        cls.mirror = Mirror(directory / "archive", cls.vm.host_address)
        cls.addClassCleanup(cls.mirror.stop)
        cls.vm.boot()
        cls.addClassCleanup(cls.vm.save_artefacts, support.artefacts(name))
        cls.vm.wait_settled(timeout=PATIENCE)
        cls.wanted = []

    @staticmethod
    def config(packages: list[str], repository: str = "", python: str = 'kind = "none"') -> str:
        apt = f"[apt]\npackages = {json.dumps(packages)}\n{repository}"
        return f"schema = 1\n{apt}\n[python]\n{python}\n"

    @staticmethod
    def repository(url: str, key: Key) -> str:
        return (
            f'[[apt.repository]]\nname = "company"\nurl = "{url}"\n'
            f'suite = "{{codename}}-company"\ncomponents = ["main"]\nkey = """\n{key.public}"""\n'
        )

    def give(self, config: str) -> None:
        self._before = support.status_json(self.vm)["config_sha256"]
        self.vm.set_attribute("agent-config", config)

    def settled(self) -> dict:
        """What `agent status` says once the configuration given last is settled."""

        def it() -> dict | None:
            status = support.status_json(self.vm)
            fresh = status.get("config_sha256") not in (None, self._before)
            return status if fresh and status["state"] in ("ready", "failed", "degraded") else None

        return wait_for(it, "the new configuration to settle")

    def converge(self, config: str) -> dict:
        self.give(config)
        return self.settled()

    def assert_problem(self, status: dict, step: str, kind: str, *words: str) -> None:
        problem = status["problem"]
        print(f"{problem['step']}: {problem['message']}; next: {problem['next']}")
        self.assertEqual((status["state"], problem["step"]), ("failed", step))
        self.assertEqual(problem["kind"], kind)
        self.assertTrue(problem["next"])
        for word in words:
            self.assertIn(word, problem["message"])

    def installed(self) -> list[str]:
        done = self.vm.run(
            ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", "company-*"],
            check=False,
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        return sorted(name for name, status in lines if status == "installed")

    def reason(self, step: str = "apt_packages") -> str:
        steps = support.status_json(self.vm).get("steps", [])
        return next((one["reason"] or "" for one in steps if one["id"] == step), "")

    def told(self, pattern: str, what: str, step: str = "apt_packages") -> str:
        """The step's reason, once it matches."""
        return wait_for(
            lambda: re.search(pattern, reason := self.reason(step), re.I) and reason,
            what,
            timeout=120,
            every=0.05,
        )


def _output(command: list[str], directory: pathlib.Path | None = None, given: str = "") -> str:
    return subprocess.run(
        command,
        cwd=directory,
        input=given,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
