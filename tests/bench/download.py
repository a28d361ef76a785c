#!/usr/bin/python3
"""Measures what a download costs: the fetching worker beside curl, from one TLS server on loopback.

After `tests/run bench` has built: tests/bench/download.py
"""

import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import measure

sys.path[:0] = [str(measure.REPOSITORY / "tests" / room) for room in ("e2e", "support", "testbed")]
import support  # noqa: E402
from fault_server import Authority, FaultServer, Site  # noqa: E402

FILE = 256  # MiB
LIMITED = 24  # MiB
RATE = 4 << 20  # bytes a second and connection
RUNS = 7
PATIENCE = 300  # seconds for what takes seconds on an idle machine


class Contest:
    def __init__(self, directory: pathlib.Path, server: FaultServer, bundle: pathlib.Path):
        self._directory = directory
        self._server = server
        self._bundle = bundle

    def ours(self, path: str, parallel: int) -> float:
        """MiB/s of a file that is there, verified and durable."""
        site = self._server.sites[path]
        place = self._directory / "place"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        order = {
            "url": f"https://127.0.0.1:{self._server.port}{path}",
            "sha256": site.sha256_known,
            "directory": str(place),
            "name": "file",
            "ca_certificates": str(self._bundle),
            "parallel": parallel,
            "parallel_from": 8 << 20,
            "chunk": 4 << 20,
        }
        begun = time.monotonic()
        done = subprocess.run(
            [support.AGENT, "worker", "fetch"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        seconds = time.monotonic() - begun
        assert '"ok":true' in done.stdout, done.stdout
        return len(site.content) / seconds / (1 << 20)

    def curl(self, path: str) -> float:
        site = self._server.sites[path]
        target = self._directory / "curl"
        target.unlink(missing_ok=True)
        begun = time.monotonic()
        self._run(
            ["curl", "--silent", "--fail", "--noproxy", "*", "--cacert", str(self._bundle)]
            + ["--output", str(target), f"https://127.0.0.1:{self._server.port}{path}"]
        )
        return len(site.content) / (time.monotonic() - begun) / (1 << 20)

    def curl_verified(self, path: str) -> float:
        """The same guarantee with curl: hashed and durable."""
        site = self._server.sites[path]
        begun = time.monotonic()
        self.curl(path)
        said = self._run(["sha256sum", str(self._directory / "curl")])
        assert said.startswith(site.sha256_known)
        self._run(["sync", str(self._directory / "curl")])
        return len(site.content) / (time.monotonic() - begun) / (1 << 20)

    def _run(self, argv: list[str]) -> str:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE
        ).stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        authority = Authority(directory)
        server = FaultServer(authority.certificate("files.test"))
        server.site("/fast", Site(os.urandom(FILE << 20)))
        server.site("/limited", Site(os.urandom(LIMITED << 20), rate=RATE))
        for site in server.sites.values():
            site.sha256_known = site.sha256
        # A process of its own: what is measured does not wait for this one's interpreter lock.
        serving = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        serving.start()
        contest = Contest(directory, server, authority.bundle)
        try:
            measure.compare(
                "download: beside curl",
                *(lambda: contest.ours("/fast", 1), lambda: contest.curl("/fast")),
                *(RUNS, "MiB/s"),
                goal=0.7,
                better="higher",
            )
            measure.compare(
                "download: beside curl, sha256sum and sync",
                *(lambda: contest.ours("/fast", 1), lambda: contest.curl_verified("/fast")),
                *(RUNS, "MiB/s"),
                goal=1.0,
                better="higher",
            )
            measure.compare(
                f"download: {RATE >> 20} MiB/s a connection",
                *(lambda: contest.ours("/limited", 4), lambda: contest.curl("/limited")),
                *(3, "MiB/s"),
                goal=2.5,
                better="higher",
            )
        finally:
            serving.terminate()
            serving.join()


if __name__ == "__main__":
    main()
