"""Owns one front outside a VM: the real `agent front`, with its sockets handed over as systemd does it.

    with FrontProcess(backend=path) as front:
        ssl.create_default_context(cadata=front.certificate) …  front.port  front.peak_memory()
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
AGENT = pathlib.Path(
    os.environ.get("AGENT_BUILD", REPOSITORY / "build" / "release-static")
) / "agent" / "agent"
TOKEN = "0123456789abcdef" * 4


def make_pem(directory: pathlib.Path, name: str = "tls.pem") -> str:
    """A new key with its certificate, as the agent makes it; returns the certificate's PEM."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        file.write(key.read_text() + certificate.read_text())
    return certificate.read_text()


class FrontProcess:
    """The front on 127.0.0.1 and a free port, before the unix socket at `backend`."""

    def __init__(self, backend: pathlib.Path, token: str = TOKEN):
        self._backend = backend
        self._token = token
        self._directory = tempfile.TemporaryDirectory(prefix="front-")
        self.directory = pathlib.Path(self._directory.name)
        self.certificate = ""
        self.port = 0
        self.process: subprocess.Popen | None = None
        self.said = ""
        self._told: list[str] = []

    def __enter__(self) -> "FrontProcess":
        self.certificate = make_pem(self.directory)
        (self.directory / "token").write_text(self._token)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.bind(str(self.directory / "control"))
        self._control.listen()
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(self.directory / "notify"))
        # As systemd does it: who is not listened to hangs once the socket is full.
        threading.Thread(target=self._listen, daemon=True).start()
        self.start()
        return self

    def _listen(self) -> None:
        while word := self._notices.recv(4096):
            self._told.append(word.decode())

    def __exit__(self, *_) -> None:
        self.stop()
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as last:
            last.sendto(b"", str(self.directory / "notify"))
        for held in (self._listener, self._control, self._notices):
            held.close()
        self._directory.cleanup()

    def start(self, timeout: float = 20) -> None:
        """Returns once it has said READY."""
        self._told = []
        handed = [self._listener.fileno(), self._control.fileno()]
        script = f'ulimit -n 1024; exec 3<&{handed[0]} 4<&{handed[1]}; LISTEN_PID=$$ exec "$@"'
        command = [AGENT, "front", "--backend", self._backend, "--backend-owner", str(os.geteuid())]
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *map(str, command)],
            env={
                "LISTEN_FDS": "2",
                "CREDENTIALS_DIRECTORY": str(self.directory),
                "NOTIFY_SOCKET": str(self.directory / "notify"),
            },
            pass_fds=handed,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.wait_told("READY=1", timeout)

    def stop(self) -> None:
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said = self.process.stderr.read().decode(errors="replace")
        self.process.stderr.close()

    def wait_told(self, what: str, timeout: float = 20) -> None:
        """Until it has told systemd something with `what` in it since it was started."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if any(what in word for word in self._told):
                return
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"the front did not say {what}: {self.process.stderr.read().decode()}")

    def hand_over(self, pem: str, token: str = TOKEN) -> dict:
        """What the daemon does with another certificate; returns the front's answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
            control.settimeout(10)
            control.connect(str(self.directory / "control"))
            control.send(json.dumps({"version": 1, "certificate": pem, "token": token}).encode())
            return json.loads(control.recv(65_536))

    def memory(self, field: str = "VmHWM") -> float:
        """In MiB: VmHWM, the most that was ever resident, or VmRSS, now."""
        about = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(about.split(f"{field}:")[1].split()[0]) / 1024
