#!/usr/bin/python3
"""Measures what the front costs: Jupyter behind it, beside the same Jupyter that ends TLS itself.

Both run on loopback, with the same certificate, TLS 1.3 and the same cipher. As root or not, after
`tests/run bench` has built: tests/bench/front.py
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import measure

sys.path[:0] = [str(measure.REPOSITORY / "tests" / room) for room in ("support", "testbed")]
import requirements  # noqa: E402
from front_process import TOKEN, FrontProcess, make_pem  # noqa: E402

FILE = 256  # MiB
UPLOAD = 24  # MiB
REQUESTS = 200
CONNECTIONS = 60
PATIENCE = 300  # seconds for what takes seconds on an idle machine


class Jupyter:
    """One Jupyter Server; `listens` are the keys of its configuration that say where."""

    def __init__(self, directory: pathlib.Path, name: str, listens: dict):
        config = directory / f"{name}.json"
        server = {"root_dir": str(directory), "allow_root": True, "open_browser": False}
        token = {"IdentityProvider": {"token": TOKEN}}
        config.write_text(json.dumps({"ServerApp": server | listens} | token))
        self.log = (directory / f"{name}.log").open("w")
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-m", "jupyter_server", f"--config={config}"],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(directory),
                "PYTHONPATH": str(requirements.wheel(requirements.JUPYTER_SERVER, print)),
            },
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self) -> "Jupyter":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


class Peer:
    """Somebody who may use the Jupyter that answers on this port."""

    def __init__(self, port: int, certificate: str):
        self.port = port
        self.context = ssl.create_default_context(cadata=certificate)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "localhost", self.port, context=self.context, timeout=PATIENCE
        )

    def ask(self, connection, method: str, path: str, body: str | None = None) -> int:
        connection.request(method, path, body, {"Authorization": f"token {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), contextlib.closing(self.connect()) as connection:
                if self.ask(connection, "GET", "/api/status") == 200:
                    return
            if time.monotonic() > deadline:
                sys.exit(f"nobody answers on port {self.port}")
            time.sleep(0.2)

    # What is measured

    def download(self) -> float:
        """MiB a second of one large file."""
        buffer = bytearray(262_144)
        with contextlib.closing(self.connect()) as connection:
            begin = time.monotonic()
            connection.request("GET", "/files/large", headers={"Authorization": f"token {TOKEN}"})
            answer = connection.getresponse()
            count = 0
            while part := answer.readinto(buffer):
                count += part
            if count != FILE << 20:
                sys.exit(f"{count} bytes came instead of {FILE << 20}")
            return FILE / (time.monotonic() - begin)

    def upload(self) -> float:
        """MiB a second of one file through the contents API."""
        content = base64.b64encode(os.urandom(UPLOAD << 20)).decode()
        body = json.dumps({"type": "file", "format": "base64", "content": content})
        with contextlib.closing(self.connect()) as connection:
            begin = time.monotonic()
            code = self.ask(connection, "PUT", "/api/contents/uploaded", body)
            if code not in (200, 201):
                sys.exit(f"the upload was answered {code}")
            return len(body) / 2**20 / (time.monotonic() - begin)

    def latency(self, quantile: int) -> float:
        """Milliseconds of a small request with a token over a connection that stays; in percent."""
        times = []
        with contextlib.closing(self.connect()) as connection:
            for _ in range(REQUESTS):
                begin = time.monotonic()
                self.ask(connection, "GET", "/api/status")
                times.append(1000 * (time.monotonic() - begin))
        return statistics.quantiles(times, n=100)[quantile - 1]

    def connections(self) -> float:
        """New connections a second, each with one small request."""
        begin = time.monotonic()
        for _ in range(CONNECTIONS):
            with contextlib.closing(self.connect()) as connection:
                self.ask(connection, "GET", "/api")
        return CONNECTIONS / (time.monotonic() - begin)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def main() -> None:
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (directory / "large").write_bytes(os.urandom(1 << 20) * FILE)
        certificate = make_pem(directory)
        port = free_port()
        pem = {"certfile": str(directory / "tls.pem"), "keyfile": str(directory / "tls.pem")}
        own = {"ip": "127.0.0.1", "port": port, "port_retries": 0} | pem
        backend = directory / "jupyter.sock"
        stack.enter_context(Jupyter(directory, "own", own))
        stack.enter_context(Jupyter(directory, "behind", {"sock": str(backend)}))
        front = stack.enter_context(FrontProcess(backend))
        ours, peer = Peer(front.port, front.certificate), Peer(port, certificate)
        for one in (ours, peer):
            one.wait()

        def beside(name: str, what: Callable[[Peer], float], unit: str, goal: float, better: str):
            measure.compare(
                f"front: {name}", lambda: what(ours), lambda: what(peer), 7, unit, goal, better
            )

        beside("download", Peer.download, "MiB/s", 0.9, "higher")
        beside("upload", Peer.upload, "MiB/s", 0.9, "higher")
        beside("small request, median", lambda one: one.latency(50), "ms", 1.2, "lower")
        beside("small request, 99 %", lambda one: one.latency(99), "ms", 1.2, "lower")
        beside("new connections", Peer.connections, "per s", 0.9, "higher")
        print(f"front: {front.memory():.1f} MiB resident at most")


if __name__ == "__main__":
    main()
