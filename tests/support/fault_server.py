"""Owns an HTTPS server that is slow, cuts, lies or refuses, as a test tells it to, and its certificates.

    with FaultServer(authority.certificate("files.test")) as server:
        server.site("/a", Site(content, cut_at=[1000]))
        … f"https://files.test:{server.port}/a" …

Everything is real: TLS, HTTP/1.1 with Range and If-Range as RFC 9110 has them, kept connections.
"""

import dataclasses
import hashlib
import pathlib
import re
import select
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
from typing import Self

PIECE = 16 * 1024


class Authority:
    """A certificate authority in a directory; what it signs lies there as NAME.pem with its key."""

    def __init__(self, directory: pathlib.Path, name: str = "ca"):
        self._directory = directory
        self._name = name
        self.bundle = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        _openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + ["-days", "30", "-subj", f"/CN=Test authority {name}", "-keyout", str(self._key)]
            + ["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", str(self.bundle)]
        )
        self.bundle.chmod(0o644)

    def certificate(
        self, host: str, label: str = "", begins: str = "", ends: str = "", self_signed: bool = False
    ) -> pathlib.Path:
        """Key and certificate for the host; times are like 20200101000000Z."""
        place = self._directory / f"{self._name}-{label or host}"
        key, request, leaf = (place.with_suffix(end) for end in (".key", ".csr", ".crt"))
        names = f"subjectAltName=DNS:{host}" + (",IP:127.0.0.1" if host == "files.test" else "")
        common = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        common += ["-subj", f"/CN={host}", "-keyout", str(key)]
        if self_signed:
            _openssl(["req", "-x509", *common, "-days", "30", "-addext", names, "-out", str(leaf)])
        else:
            _openssl(["req", "-new", *common, "-out", str(request)])
            self._sign(request, leaf, names, begins, ends)
        pem = place.with_suffix(".both")
        pem.write_text(key.read_text() + leaf.read_text())
        return pem

    def _sign(self, request, leaf, names: str, begins: str, ends: str) -> None:
        settings = leaf.with_suffix(".cnf")
        database = leaf.with_suffix(".db")
        database.write_text("")
        settings.write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}\nnew_certs_dir={self._directory}\n"
            f"rand_serial=yes\ndefault_md=sha256\npolicy=any\nx509_extensions=server\nunique_subject=no\n"
            "[any]\ncommonName=supplied\n"
            f"[server]\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n{names}\n"
        )
        times = ["-startdate", begins] if begins else []
        times += ["-enddate", ends] if ends else ["-days", "30"]
        _openssl(
            ["ca", "-batch", "-config", str(settings), "-cert", str(self.bundle)]
            + ["-keyfile", str(self._key), "-in", str(request), "-out", str(leaf), "-notext", *times]
        )


def _openssl(arguments: list[str]) -> None:
    done = subprocess.run(
        ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


@dataclasses.dataclass
class Site:
    """One resource and how it behaves. Lists are used up, an answer an element; then it is honest."""

    content: bytes
    etag: str = '"v1"'
    content_type: str = "application/octet-stream"
    # answered first: (status, headers)
    refusals: list = dataclasses.field(default_factory=list)
    # bodies that end after so many bytes, with a reset
    cut_at: list = dataclasses.field(default_factory=list)
    # bodies that go silent after so many bytes
    stall_at: list = dataclasses.field(default_factory=list)
    ranges: str = "honest"  # ignored | shifted | other_size | no_etag | refused
    length: str = "true"  # none | none_reset | chunked | longer | shorter
    rate: float = 0  # bytes a second and connection; 0: as fast as it goes
    one_at_a_time: bool = False  # 429 for a second request meanwhile
    changes: list = dataclasses.field(default_factory=list)  # (content, etag) from the next answer on
    raw: bytes | None = None  # said instead of everything

    def __post_init__(self):
        self.requests: list[dict] = []  # headers, names in lower case; ":target" is the request's
        self.sent = 0  # bytes of bodies
        self.connections: set = set()
        self.busy = 0
        self.lock = threading.Lock()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class ServerInThread(socketserver.ThreadingTCPServer):
    """Serves while its `with` block runs; at its end nobody listens."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        pass  # a client that was killed or went away, or that does not trust us


class FaultServer(ServerInThread):
    request_queue_size = 64

    def __init__(
        self,
        pem: pathlib.Path,
        newest: ssl.TLSVersion | None = None,
        port: int = 0,
        address: str = "127.0.0.1",
    ):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        if newest:
            self.context.set_ciphers("ALL:@SECLEVEL=0")
            self.context.minimum_version = ssl.TLSVersion.TLSv1
            self.context.maximum_version = newest
        self.sites: dict[str, Site] = {}
        super().__init__((address, port), _Connection)
        self.port = self.server_address[1]

    def site(self, path: str, site: Site) -> Site:
        self.sites[path] = site
        return site


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(60)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        try:
            while self._answer():
                pass
        finally:
            self.request.close()

    def _head(self) -> dict | None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.request.recv(65536)
            if not received:
                return None
            head += received
        first, *lines = head.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        headers[":target"] = first.split(" ")[1]
        return headers

    def _answer(self) -> bool:
        """False: the connection is of no use any more."""
        headers = self._head()
        if headers is None:
            return False
        site = self.server.sites.get(headers[":target"].split("?")[0])
        if site is None:
            return self._say(404, {"Content-Length": "0"})
        with site.lock:
            site.requests.append(headers)
            site.connections.add(id(self))
            if site.changes and len(site.requests) > 1:
                site.content, site.etag = site.changes.pop(0)
            refusal = site.refusals.pop(0) if site.refusals else None
            if not refusal and site.one_at_a_time and site.busy:
                refusal = (429, {"Retry-After": "1"})
            site.busy += 1
        try:
            if site.raw is not None:
                self.request.sendall(site.raw)
                return False
            if refusal:
                status, more = refusal
                return self._say(status, {"Content-Length": "0", **more})
            return self._body(site, headers)
        finally:
            with site.lock:
                site.busy -= 1

    def _say(self, status: int, headers: dict) -> bool:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.request.sendall(f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1"))
        return True

    def _body(self, site: Site, asked: dict) -> bool:
        content, size = site.content, len(site.content)
        headers = {"Content-Type": site.content_type}
        if site.etag and site.ranges != "no_etag":
            headers["ETag"] = site.etag
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
        first, last = (int(found[1]), int(found[2] or size - 1)) if found else (0, size - 1)
        last = min(last, size - 1)
        same = asked.get("if-range", site.etag) == site.etag
        if found and site.ranges == "refused":
            return self._say(416, {"Content-Length": "0", "Content-Range": f"bytes */{size}"})
        if found and same and site.ranges != "ignored":
            if first >= size:
                return self._say(416, {"Content-Length": "0", "Content-Range": f"bytes */{size}"})
            status = 206
            shift = 1 if site.ranges == "shifted" and first > 0 else 0
            of = size + 1 if site.ranges == "other_size" and first > 0 else size
            headers["Content-Range"] = f"bytes {first + shift}-{last + shift}/{of}"
            content = content[first : last + 1]
        else:
            status = 200
            headers["Accept-Ranges"] = "none" if site.ranges == "ignored" else "bytes"
        length = len(content) + {"longer": 1000, "shorter": -1000}.get(site.length, 0)
        if site.length == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif site.length in ("none", "none_reset"):
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(length)
        self._say(status, headers)
        with site.lock:
            cut = site.cut_at.pop(0) if site.cut_at else None
            stall = site.stall_at.pop(0) if site.stall_at else None
        if site.length == "shorter":
            content = content[:length]
        if cut is not None:
            self._send(site, content[:cut])
            return self._reset()
        if stall is not None:
            self._send(site, content[:stall])
            self.request.recv(1)  # until the client has had enough
            return False
        self._send(site, content)
        if site.length == "none":
            self.request.unwrap()
            return False
        return site.length == "true" or (site.length == "chunked" and self._end_chunks()) or self._reset()

    def _end_chunks(self) -> bool:
        self.request.sendall(b"0\r\n\r\n")
        return True

    def _reset(self) -> bool:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.05)  # what was sent arrives before the reset discards it
        return False

    def _send(self, site: Site, content: bytes) -> None:
        view = memoryview(content)
        piece = PIECE if site.rate else 256 * 1024
        begun = time.monotonic()
        for at in range(0, len(view), piece):
            part = view[at : at + piece]
            if site.length == "chunked":
                self.request.sendall(b"%x\r\n" % len(part) + bytes(part) + b"\r\n")
            else:
                self.request.sendall(part)
            with site.lock:
                site.sent += len(part)
            if site.rate:
                time.sleep(max(0.0, begun + (at + len(part)) / site.rate - time.monotonic()))


class ConnectProxy(ServerInThread):
    """A company's proxy: CONNECT alone. `answers` are its first statuses; names are its own to know.

    With a certificate it is an https:// one.
    """

    def __init__(self, names: dict[str, str], pem: pathlib.Path | None = None):
        self.names = names
        self.context = None
        if pem:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(pem)
        self.answers: list[int] = []
        self.asked: list[str] = []  # the whole heads
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.url = f"http{'s' if pem else ''}://127.0.0.1:{self.server_address[1]}"


class _Tunnel(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if self.server.context:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.request.recv(65536)
            if not received:
                return
            head += received
            if not head[:1].isupper():  # TLS, say
                self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
        self.server.asked.append(head.decode("latin-1"))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.request.sendall(b"HTTP/1.1 %d Status\r\n\r\n" % status)
        if status != 200:
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        with socket.create_connection((self.server.names[host], int(port))) as outside:
            relay(self.request, outside, None)


def relay(one: socket.socket, other: socket.socket, silence: float | None) -> None:
    """Bytes to and fro, of TLS or plain, until one side ends, or both are silent for so many seconds."""
    peers = {one: other, other: one}
    while True:
        ready = [end for end in peers if isinstance(end, ssl.SSLSocket) and end.pending()]
        ready = ready or select.select(list(peers), [], [], silence)[0]
        if not ready:
            return
        for end in ready:
            received = end.recv(65536)
            if not received:
                return
            peers[end].sendall(received)
