"""Owns a company's proxy: the only way out, and it reads along, with certificates of its own CA.

    with Proxy(directory, address, "proxy.example.com") as proxy:
        … proxy.url, proxy.ca, proxy.hosts …

It is an http:// and an https:// proxy on one port. Plain requests are passed on one a connection;
inside CONNECT it ends TLS, with a certificate that it makes for the name asked for, and goes on over TLS
of its own. Servers of a test may have names that it alone knows, and an authority that it alone trusts.
"""

import contextlib
import pathlib
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading

_TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS / room) for room in ("testbed", "support")]
import machine  # noqa: E402
from fault_server import ServerInThread, relay  # noqa: E402

PORT = 3128
_HANDSHAKE = b"\x16"  # how TLS begins, and no request
_SILENCE = 120  # seconds after which a connection is given up
_EXTENSIONS = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:{host}
"""


class Proxy(ServerInThread):
    def __init__(
        self,
        directory: pathlib.Path,
        address: str,
        name: str,
        names: dict[str, str] | None = None,
        trusted: str = "",
    ):
        self.url = f"http://{address}:{PORT}"
        self.name = name
        self.hosts: set[str] = set()
        self.hosts_over_tls: set[str] = set()  # those that were asked for over TLS to the proxy
        self._directory = directory
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._names = names or {}
        self._outwards = ssl.create_default_context(cadata=machine.certificates() + trusted)
        self.ca = self._certificate("authority", "A company's CA", [])
        super().__init__((address, PORT), _Connection)

    def connect(self, host: str, port: int) -> socket.socket:
        return socket.create_connection((self._names.get(host, host), port), timeout=_SILENCE)

    def outwards(self, connection: socket.socket, host: str) -> ssl.SSLSocket:
        return self._outwards.wrap_socket(connection, server_hostname=host)

    def inwards(self, connection: socket.socket, host: str) -> ssl.SSLSocket:
        with self._lock:
            if host not in self._contexts:
                authority = ["-CA", str(self.ca), "-CAkey", str(self.ca.with_suffix(".key"))]
                pem = self._certificate("server", host, authority)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pem, pem.with_suffix(".key"))
                self._contexts[host] = context
        return self._contexts[host].wrap_socket(connection, server_side=True)

    def _certificate(self, kind: str, name: str, signer: list[str]) -> pathlib.Path:
        place = self._directory / re.sub(r"[^\w.-]", "-", name)
        settings, pem, key = (place.with_name(place.name + end) for end in (".cnf", ".pem", ".key"))
        settings.write_text(_EXTENSIONS.format(host=name))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            + ["-nodes", "-days", "7", "-subj", f"/CN={name}", "-config", str(settings)]
            + ["-extensions", kind, "-out", str(pem), "-keyout", str(key), *signer],
            check=True,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return pem


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(_SILENCE)
        is_tls = self.request.recv(1, socket.MSG_PEEK) == _HANDSHAKE
        if is_tls:
            self.request = _plain_end(self.server.inwards(self.request, self.server.name))
        with contextlib.closing(self.request):
            self.answer(is_tls)

    def answer(self, is_tls: bool) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.request.recv(65536)
            if not received:
                return
            head += received
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            self.record(host, is_tls)
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with contextlib.closing(self.server.inwards(self.request, host)) as inside:
                with self.server.connect(host, int(port)) as connection:
                    with self.server.outwards(connection, host) as outside:
                        relay(inside, outside, _SILENCE)
            return
        host, port, path = re.fullmatch(r"http://([^/:]+)(?::(\d+))?(/.*)", target).groups()
        self.record(host, is_tls)
        # One request a connection: what was sent after this one the client sends again.
        lines = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
        kept = [line for line in lines if not re.match(rb"(proxy-)?connection:", line, re.I)]
        first = f"{method} {path} HTTP/1.1".encode()
        with self.server.connect(host, int(port or 80)) as outside:
            outside.sendall(b"\r\n".join([first, *kept, b"Connection: close", b"", b""]))
            while received := outside.recv(65536):
                self.request.sendall(received)

    def record(self, host: str, is_tls: bool) -> None:
        self.server.hosts.add(host)
        if is_tls:
            self.server.hosts_over_tls.add(host)


def _plain_end(tls: ssl.SSLSocket) -> socket.socket:
    """Where what comes over TLS can be read in the clear: Python's TLS goes over true sockets alone."""
    here, there = socket.socketpair()
    here.settimeout(_SILENCE)

    def pass_on() -> None:
        with contextlib.suppress(OSError), contextlib.closing(tls), contextlib.closing(there):
            relay(tls, there, _SILENCE)

    threading.Thread(target=pass_on, daemon=True).start()
    return here
