"""Owns the stand-in for Cloud Storage in tests: fake-gcs-server under GCS's own name, over TLS, and in
front of it what GCS asks of whoever reads: a token, and a right to the bucket.

    with Buckets(directory, authority.certificate(buckets.HOST), vm.host_address) as storage:
        storage.rules(tokens={token: {"email": …, "scopes": …}}, readers={"my-bucket": [email]})
        storage.put("my-bucket", "requirements.txt", "numpy\n")
        … storage.requests() …
"""

import http.client
import json
import pathlib
import secrets
import ssl
import subprocess
import time
import urllib.parse

import requirements

HOST = "storage.googleapis.com"
_SOURCE = pathlib.Path(__file__).resolve().parent / "bucket_server"


class Buckets:
    def __init__(self, directory: pathlib.Path, pem: pathlib.Path, address: str, port: int = 443):
        self._pem, self._address, self._port = pem, address, port
        self._rules, self._log = directory / "rules.json", directory / "requests.jsonl"
        self._owner = secrets.token_urlsafe(24)
        self._now: dict = {"owner": self._owner}
        self._server: subprocess.Popen | None = None

    def __enter__(self) -> "Buckets":
        program = requirements.go_program(_SOURCE, print)
        self.rules()
        place = f"{self._address}:{self._port}"
        self._server = subprocess.Popen([program, place, self._pem, self._rules, self._log])
        deadline = time.monotonic() + 30
        while True:
            try:
                self._ask("GET", "/storage/v1/b?project=p")
                return self
            except ConnectionRefusedError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.05)

    def __exit__(self, *_) -> None:
        self._server.kill()
        self._server.wait()

    def rules(self, **changes) -> None:
        """tokens, readers, fault, delay: see bucket_server/main.go; the others stay as they are."""
        self._now |= changes
        fresh = self._rules.with_suffix(".new")
        fresh.write_text(json.dumps(self._now))
        fresh.rename(self._rules)

    def put(self, bucket: str, name: str, content: str) -> None:
        """As its owner does it; the bucket is made when there is none."""
        self._ask("POST", "/storage/v1/b?project=p", json.dumps({"name": bucket}), (200, 409))
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        self._ask("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", content)

    def requests(self) -> list[dict]:
        """What others than the owner asked, in order: method, target, who, status, has_token."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [one for one in map(json.loads, lines) if one["who"] != "owner"]

    def _ask(self, method: str, target: str, body: str = "", expected: tuple = (200,)) -> None:
        trusted = ssl.create_default_context()
        trusted.check_hostname = False  # it is asked by its address
        trusted.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            self._address, self._port, context=trusted, timeout=30
        )
        headers = {"Host": HOST, "Authorization": f"Bearer {self._owner}"}
        try:
            connection.request(method, target, body.encode(), headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in expected:
            raise RuntimeError(f"{method} {target}: {answer.status} {said[:300]!r}")
