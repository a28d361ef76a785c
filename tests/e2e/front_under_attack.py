#!/usr/bin/python3
"""Proves that a thousand hostile clients neither fill the front's memory nor keep anybody out.

All of it runs on loopback, each attacker from one of sixteen addresses, for a bounded time.
"""

import asyncio
import contextlib
import pathlib
import random
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from front_process import FrontProcess, make_pem  # noqa: E402

MOST_MEMORY = 24  # MiB resident, ever
SECONDS = 15  # longer than the front's 10 s for a handshake or a head
ATTACKERS = {"silent": 350, "slow_hello": 175, "slow_head": 175, "never_reads": 300}
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 18)]
ANYBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANYBODY.check_hostname, ANYBODY.verify_mode = False, ssl.CERT_NONE
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Backend:
    """Behaves to the front as Jupyter does: locked, with a path that echoes and one that is long."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Backend":
        self._server = self._loop.run_until_complete(
            asyncio.start_unix_server(self._serve, self._path, backlog=256)
        )
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()

    async def _serve(self, reader, writer) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1]
            if path == b"/api/contents":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            elif path == b"/echo":
                writer.write(SWITCH)
                while data := await reader.read(4096):
                    writer.write(data)
                    await writer.drain()
            elif path == b"/long":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(10_000):
                    writer.write(bytes(65_536))
                    await writer.drain()
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()
        writer.close()


class Client:
    """One TLS connection of somebody with good intentions."""

    def __init__(self, front: FrontProcess, address: str = "127.0.0.1"):
        context = ssl.create_default_context(cadata=front.certificate)
        plain = socket.create_connection(("127.0.0.1", front.port), 10, (address, 0))
        self._socket = context.wrap_socket(plain, server_hostname="localhost")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self._socket.close()

    def ask(self, path: str) -> bytes:
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return self._socket.recv(4096)

    def echo(self, word: bytes) -> None:
        self._socket.sendall(word)
        got = b""
        while len(got) < len(word):
            part = self._socket.recv(4096)
            if not part:
                raise AssertionError("the session ended")
            got += part
        if got != word:
            raise AssertionError("something else came back")


class FrontUnderAttack(unittest.TestCase):
    def setUp(self):
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="attack-"))
        backend = pathlib.Path(directory) / "jupyter.sock"
        self.enterContext(Backend(backend))
        self.front = self.enterContext(FrontProcess(backend))

    def test_a_thousand_hostile_clients(self):
        before = self.front.memory()
        with Client(self.front) as inside:
            self.assertTrue(inside.ask("/echo").startswith(SWITCH))
            command = [sys.executable, __file__, "--attack", str(self.front.port)]
            attack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            came_in, words, first = [], 0, ""
            try:
                while attack.poll() is None:
                    inside.echo(random.randbytes(300))
                    words += 1
                    begin = time.monotonic()
                    with Client(self.front) as newcomer:
                        self.assertTrue(newcomer.ask("/").startswith(b"HTTP/1.1 200 "))
                    came_in.append(time.monotonic() - begin)
                    time.sleep(0.1)
            finally:
                attack.kill()
                first = attack.communicate()[0]
        peak, now = self.front.memory(), self.front.memory("VmRSS")
        print(first.strip())
        print(
            f"let in meanwhile: {len(came_in)}, nobody turned away; median "
            f"{1000 * statistics.median(came_in):.0f} ms, slowest {1000 * max(came_in):.0f} ms; "
            f"words over the session from before: {words}"
        )
        print(f"front: {before:.1f} MiB before, {peak:.1f} MiB at most, {now:.1f} MiB after")
        self.assertEqual(attack.returncode, 0)
        self.assertGreater(words, 10)
        self.assertLessEqual(peak, MOST_MEMORY)
        self.front.stop()
        self.assertLess(len(self.front.said.splitlines()), 10, self.front.said)

    def test_what_an_idle_session_costs(self):
        before = self.front.memory("VmRSS")
        with contextlib.ExitStack() as stack:
            clients = []
            for number in range(240):
                client = Client(self.front, ADDRESSES[number % len(ADDRESSES)])
                clients.append(stack.enter_context(client))
                self.assertEqual(client.ask("/echo"), SWITCH)
                client.echo(random.randbytes(20_000))
            after = self.front.memory("VmRSS")
            each = 1024 * (after - before) / len(clients)
            print(f"{len(clients)} idle sessions: {after:.1f} MiB resident, {each:.1f} KiB each")
            self.assertLessEqual(self.front.memory(), MOST_MEMORY)
            for client in clients:
                client.echo(b"still here")

    def test_a_certificate_is_swapped_under_a_running_session(self):
        with Client(self.front) as inside:
            self.assertTrue(inside.ask("/echo").startswith(SWITCH))
            refused = self.front.hand_over("-----BEGIN NONSENSE-----")
            self.assertIn("error", refused)
            with Client(self.front) as same:
                same.ask("/")
            other = make_pem(self.front.directory, "other.pem")
            answer = self.front.hand_over((self.front.directory / "other.pem").read_text())
            self.assertEqual(len(answer["certificate_sha256"]), 64)
            with self.assertRaises(ssl.SSLCertVerificationError):
                Client(self.front)
            self.front.certificate = other
            with Client(self.front) as newcomer:
                self.assertTrue(newcomer.ask("/").startswith(b"HTTP/1.1 200 "))
            inside.echo(b"still here")

    def test_garbage_gets_nowhere(self):
        rng = random.Random(20240229)
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        for round_ in range(300):
            start = (b"", hello, b"GET / HTTP/1.1\r\n", b"\x16")[round_ % 4]
            with socket.create_connection(("127.0.0.1", self.front.port), 10) as client:
                with contextlib.suppress(OSError):
                    client.sendall(start + rng.randbytes(rng.randrange(1, 2000)))
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
        for name in ("x" * 250 + ".example", "xn--0", "0.0.0.0"):
            plain = socket.create_connection(("127.0.0.1", self.front.port), 10)
            with contextlib.suppress(ssl.SSLError, ValueError), plain:
                with ANYBODY.wrap_socket(plain, server_hostname=name):
                    pass
        with Client(self.front) as client:
            self.assertTrue(client.ask("/").startswith(b"HTTP/1.1 200 "))


# The attack, in a process of its own


async def attacker(kind: str, address: str, port: int, until: float, count: dict) -> None:
    """Comes again whenever it was thrown out."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"x" * 10_000
    while time.monotonic() < until:
        writer = None
        # It does not read more than this, and then stops.
        how = {"local_addr": (address, 0), "limit": 1024}
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            if kind in ("slow_head", "never_reads"):
                how["ssl"] = ANYBODY
            opening = asyncio.open_connection("127.0.0.1", port, **how)
            reader, writer = await asyncio.wait_for(opening, 10)
            count[kind] += 1
            if kind == "never_reads":
                writer.write(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
            trickle = {"slow_hello": hello, "slow_head": head}.get(kind, b"")
            while time.monotonic() < until and not writer.is_closing():
                if trickle:
                    writer.write(trickle[:1])
                    trickle = trickle[1:]
                if kind == "silent":
                    await asyncio.wait_for(reader.read(1), until - time.monotonic())
                    break
                await asyncio.sleep(1)
        if writer:
            writer.transport.abort()
        await asyncio.sleep(1)


async def attack(port: int) -> None:
    count = dict.fromkeys(ATTACKERS, 0)
    hostile = [kind for kind, number in ATTACKERS.items() for _ in range(number)]
    random.Random(1).shuffle(hostile)
    until = time.monotonic() + 2 * SECONDS

    def send(*kinds: str) -> list[asyncio.Task]:
        return [
            asyncio.create_task(
                attacker(kind, ADDRESSES[number % len(ADDRESSES)], port, until, count)
            )
            for number, kind in enumerate(hostile)
            if kind in kinds
        ]

    # These first, so that every session's place is taken when the others come.
    sent = send("never_reads")
    while count["never_reads"] < 256 and time.monotonic() < until - SECONDS:
        await asyncio.sleep(0.1)
    sent += send("silent", "slow_hello", "slow_head")
    await asyncio.gather(*sent)
    print(f"{len(hostile)} attackers from {len(ADDRESSES)} addresses connected: {count}")


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    if sys.argv[1:2] == ["--attack"]:
        signal.alarm(6 * SECONDS)
        asyncio.run(attack(int(sys.argv[2])))
    else:
        sys.stdout.reconfigure(line_buffering=True)
        unittest.main(verbosity=2)
