#!/usr/bin/python3
"""The fetching worker of the shipped binary against servers that are slow, cut, lie and refuse.

Everything is real but the network, which is a namespace of this test's own: TLS with certificates of a CA
made here, a resolver, a company's proxy. The worker runs as nobody; it is killed at random moments and
goes on. What it hands over is taken over by root while its owner tries to change it.

usage: downloads.py [NAME…] [--kills=N] [--seed=N]
"""

import contextlib
import dataclasses
import email.utils
import json
import os
import pathlib
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPOSITORY / "tests" / room) for room in ("e2e", "support")]
import support  # noqa: E402
from fault_server import Authority, ConnectProxy, FaultServer, Site  # noqa: E402

INSIDE = "AGENT_TEST_DOWNLOADS_NAMESPACE"
PATIENCE = 120  # seconds for what takes seconds on an idle machine
SMALL = 200_000
SECRET = "s3cret-of-the-url"


@dataclasses.dataclass
class Fetched:
    outcome: dict
    notes: list[str]
    progress: list[dict]
    text: str
    seconds: float
    file: pathlib.Path

    @property
    def message(self) -> str:
        return self.outcome.get("message", "")


class World:
    """What all cases share: the authority, a certificate, the binary where nobody may run it."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        directory.chmod(0o755)
        self.agent = directory / "agent"
        shutil.copy(support.AGENT, self.agent)
        self.agent.chmod(0o755)
        certificates = directory / "certificates"
        certificates.mkdir()
        self.authority = Authority(certificates)
        self.pem = self.authority.certificate("files.test")
        self._places = 0

    def place(self) -> pathlib.Path:
        """A new directory of nobody's."""
        self._places += 1
        place = self.directory / f"place{self._places}"
        place.mkdir(mode=0o700)
        shutil.chown(place, "nobody", "nogroup")
        return place

    def order(self, server: FaultServer, path: str, site: Site, **more) -> dict:
        return {
            "url": f"https://files.test:{server.port}{path}",
            "sha256": site.sha256,
            "directory": str(more.get("directory") or self.place()),
            "name": "file",
            "ca_certificates": str(self.authority.bundle),
            "idle_ms": 700,
            "head_ms": 3000,
            "backoff_first_ms": 20,
            "backoff_longest_ms": 50,
            "retry_after_cap_ms": 1500,
            **more,
        }

    def start(self, order: dict, under: tuple[str, ...] = ()) -> subprocess.Popen:
        worker = subprocess.Popen(
            [*under, self.agent, "worker", "fetch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user="nobody",
            group="nogroup",
            extra_groups=[],
            cwd="/",
            env={},
        )
        worker.stdin.write(json.dumps(order, default=str))
        worker.stdin.close()
        worker.stdin = None
        return worker

    def fetch(self, order: dict, under: tuple[str, ...] = ()) -> Fetched:
        begun = time.monotonic()
        worker = self.start(order, under)
        out, err = worker.communicate(timeout=PATIENCE)
        seconds = time.monotonic() - begun
        lines = [json.loads(line) for line in out.splitlines()]
        assert worker.returncode == 0 and not err, (worker.returncode, out, err)
        assert SECRET not in out, out
        outcomes = [line["outcome"] for line in lines if "outcome" in line]
        assert len(outcomes) == 1 and "outcome" in lines[-1], out
        fetched = Fetched(
            outcomes[0],
            [line["note"] for line in lines if "note" in line],
            [line["progress"] for line in lines if "progress" in line],
            out,
            seconds,
            pathlib.Path(order["directory"]) / "file",
        )
        # Whatever came: a file under its name is the right one.
        assert fetched.file.exists() == fetched.outcome["ok"], out
        return fetched

    def adopt(self, order: dict) -> dict:
        done = subprocess.run(
            [self.agent, "worker", "adopt"],
            input=json.dumps(order, default=str),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        return json.loads(done.stdout)["outcome"]


CASES: list[tuple[str, str, Callable[[World], None]]] = []  # name, rows, what is done


def case(rows: str):
    def register(function: Callable[[World], None]):
        CASES.append((function.__name__, rows, function))
        return function

    return register


def content(size: int = SMALL, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def is_whole(fetched: Fetched, site: Site, left: tuple[str, ...] = ("file",)) -> None:
    assert fetched.outcome["ok"], fetched.text
    assert fetched.file.read_bytes() == site.content
    there = sorted(path.name for path in fetched.file.parent.iterdir())
    assert there == sorted(left), there


def fails(fetched: Fetched, kind: str, *words: str) -> None:
    assert not fetched.outcome["ok"], fetched.text
    assert fetched.outcome["kind"] == kind, fetched.text
    for word in words:
        assert word in fetched.message, (word, fetched.message)
    assert fetched.message.startswith("fetching https://"), fetched.message


@contextlib.contextmanager
def one(world: World, site: Site, path: str = "/file", **more):
    with FaultServer(world.pem) as server:
        server.site(path, site)
        yield server, world.order(server, path, site, **more)


# Honest servers


@case("F28 D08")
def a_file_comes_whole_however_its_length_is_said(world: World) -> None:
    for length in ("true", "chunked", "none"):
        for size in (SMALL, 1, 0):
            for parallel in (1, 4):
                site = Site(content(size), length=length)
                with one(world, site, parallel=parallel) as (_, order):
                    is_whole(world.fetch(order), site)


@case("D04")
def credentials_go_to_their_host_alone_and_nothing_of_them_is_said(world: World) -> None:
    site, elsewhere = Site(content()), Site(content())
    with one(world, elsewhere) as (other, _), one(world, site) as (server, order):
        first = server.site("/first", Site(b"", refusals=[
            (302, {"Location": f"https://files.test:{other.port}/file?{SECRET}"})] * 2))
        order["url"] = f"https://me:{SECRET}@files.test:{server.port}/first?key={SECRET}"
        is_whole(world.fetch(order), site)
        assert "authorization" in first.requests[0] and SECRET in first.requests[0][":target"]
        assert all("authorization" not in asked for asked in elsewhere.requests)
        elsewhere.refusals = [(404, {})] * 20
        first.refusals = [(302, {"Location": f"https://files.test:{other.port}/file?{SECRET}"})] * 2
        order["directory"] = world.place()
        failed = world.fetch(order)
        assert "answered 404" in failed.message, failed.text


@case("D08")
def several_connections_where_the_server_can_and_one_where_it_cannot(world: World) -> None:
    big = {"parallel": 4, "parallel_from": 1_000_000, "chunk": 500_000}
    for ranges, connections in (
        ("honest", 4), ("ignored", 1), ("no_etag", 1), ("refused", 1)
    ):
        site = Site(content(6_000_000), ranges=ranges, rate=4_000_000)
        with one(world, site, **big) as (_, order):
            is_whole(world.fetch(order), site)
            busy = len(site.connections)
            assert busy == connections or (connections == 1 and busy == 2), (ranges, busy)
    weak = Site(content(3_000_000), etag='W/"1"')
    with one(world, weak, **big) as (_, order):
        is_whole(world.fetch(order), weak)
    shy = Site(content(6_000_000), one_at_a_time=True, rate=8_000_000)
    with one(world, shy, **big) as (_, order):
        is_whole(world.fetch(order), shy)


@case("D08")
def a_verified_file_is_not_fetched_again(world: World) -> None:
    site = Site(content())
    with one(world, site) as (_, order):
        is_whole(world.fetch(order), site)
        asked = len(site.requests)
        is_whole(world.fetch(order), site)
        assert len(site.requests) == asked
        (pathlib.Path(order["directory"]) / "file").write_bytes(b"something else")
        is_whole(world.fetch(order), site)
        assert len(site.requests) > asked


# Cut, slow, silent


@case("F28 F27")
def what_is_cut_goes_on_where_it_was(world: World) -> None:
    for parallel in (1, 4):
        site = Site(content(3_000_000), cut_at=[1_000_000, 500_000, 500_000])
        with one(world, site, parallel=parallel, parallel_from=1_000_000_000) as (_, order):
            fetched = world.fetch(order)
            is_whole(fetched, site)
            assert len(fetched.notes) == 3, fetched.text
            assert all(asked.get("if-range") == '"v1"' for asked in site.requests[1:])
            assert fetched.outcome["received"] == 3_000_000, fetched.outcome


@case("F28")
def what_is_cut_for_ever_fails_after_three_more_attempts(world: World) -> None:
    for length, etag in (("true", ""), ("longer", ""), ("none_reset", ""), ("true", '"v1"')):
        site = Site(content(), etag=etag, length=length)
        if length == "true":
            site.cut_at = [1000] * 50
        wrong = "0" * 64
        with one(world, site, sha256=wrong) as (_, order):
            fetched = world.fetch(order)
            fails(fetched, "transient", "expected sha256 " + wrong, ", got ", "tried 4 times", " bytes")
            # Without an ETag the first request is made again, plainly.
            assert len(site.requests) == 4 + (etag == ""), site.requests
            if length == "longer":
                assert f"{SMALL} of {SMALL + 1000} bytes" in fetched.message, fetched.message


@case("F28")
def a_stream_without_length_or_farewell_is_whole_when_its_hash_is_right(world: World) -> None:
    site = Site(content(), length="none_reset")
    with one(world, site) as (_, order):
        is_whole(world.fetch(order), site)


@case("F27")
def silence_is_a_stall_and_slowness_is_none(world: World) -> None:
    site = Site(content(), stall_at=[100_000])
    with one(world, site) as (_, order):
        fetched = world.fetch(order)
        is_whole(fetched, site)
        assert "sent nothing for 700 ms, at 100000 of 200000 bytes" in fetched.notes[0], fetched.notes
    slow = Site(content(), rate=100_000)
    with one(world, slow) as (_, order):
        fetched = world.fetch(order)
        is_whole(fetched, slow)
        assert fetched.seconds > 1.5 and not fetched.notes, fetched.text
    silent = Site(content(), stall_at=[0] * 20)
    with one(world, silent, idle_ms=200) as (_, order):
        fails(world.fetch(order), "transient", "sent nothing for 200 ms", "tried 6 times")


@case("F27")
def what_never_answers_is_given_up(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        site = Site(content())
        with one(world, site, head_ms=300) as (_, order):
            order["url"] = f"https://files.test:{mute.getsockname()[1]}/file"
            fails(world.fetch(order), "transient", "no answer within 300 ms", "tried 6 times")
    with one(world, site) as (_, order):
        order["url"] = "https://files.test:1/file"
        fails(world.fetch(order), "transient", "connecting to files.test:1", "efused")


# Lies


@case("F28 F29")
def a_file_that_changes_in_the_middle_is_fetched_from_the_start(world: World) -> None:
    for parallel_from in (1_000_000_000, 1_000_000):
        new = content(3_000_000, seed=2)
        site = Site(content(3_000_000), cut_at=[1_000_000], changes=[(new, '"v2"')], rate=20_000_000)
        more = {"parallel_from": parallel_from, "chunk": 300_000}
        with one(world, site, **more) as (_, order):
            order["sha256"] = Site(new).sha256
            fetched = world.fetch(order)
            is_whole(fetched, site)
            assert fetched.file.read_bytes() == new


@case("F28")
def lies_about_parts_are_noticed_and_the_whole_is_asked_for(world: World) -> None:
    for ranges in ("shifted", "other_size"):
        for more in ({"parallel_from": 1_000_000, "chunk": 500_000}, {"parallel": 1}):
            site = Site(content(3_000_000), ranges=ranges, cut_at=[300_000])
            with one(world, site, **more) as (_, order):
                is_whole(world.fetch(order), site)
                assert any("range" not in asked for asked in site.requests[1:])


@case("F29")
def a_wrong_hash_is_tried_once_more_and_kept_as_evidence(world: World) -> None:
    for parallel_from in (1_000_000_000, 100_000):
        site = Site(content())
        more = {"parallel_from": parallel_from, "chunk": 50_000, "sha256": "0" * 64}
        with one(world, site, **more) as (_, order):
            fetched = world.fetch(order)
            fails(fetched, "permanent", "expected sha256 " + "0" * 64, f"got {site.sha256}",
                  f"{SMALL} of {SMALL} bytes", "tried 2 times")
            assert site.sent == 2 * SMALL, site.sent
            rejected = fetched.file.with_name("file.rejected")
            assert rejected.read_bytes() == site.content and rejected.stat().st_mode & 0o111 == 0
            assert "file.rejected" in fetched.outcome["next"]


@case("F29")
def a_page_for_people_is_called_one(world: World) -> None:
    page = b"<!DOCTYPE html><html><title>Please log in</title></html>"
    for content_type in ("text/html; charset=utf-8", "application/octet-stream"):
        site = Site(page, content_type=content_type)
        with one(world, site, sha256="1" * 64) as (_, order):
            fails(world.fetch(order), "permanent", "it is an HTML page")
    with one(world, Site(page, content_type="text/html"), size=SMALL) as (_, order):
        fails(world.fetch(order), "permanent", "bytes of HTML, a page for people, expected 200000")


@case("F29")
def another_size_than_the_known_one_is_refused_before_a_byte(world: World) -> None:
    for length in ("true", "shorter"):
        site = Site(content(), length=length)
        with one(world, site, size=SMALL + 1) as (_, order):
            fails(world.fetch(order), "permanent", "offers ", "expected 200001")
    endless = Site(content(3_000_000), length="none", ranges="ignored")
    with one(world, endless, size=SMALL) as (_, order):
        fails(world.fetch(order), "permanent", "beyond the 200000 bytes")
    with one(world, Site(content()), largest=1000) as (_, order):
        fails(world.fetch(order), "permanent", "more than the 1 kB that are allowed")


@case("F20 F29")
def garbage_is_no_answer(world: World) -> None:
    for raw in (b"", b"\0\xff" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000):
        with one(world, Site(content(), raw=raw)) as (_, order):
            fails(world.fetch(order), "transient", "tried 6 times")


# Statuses


@case("F17 F26")
def what_may_pass_is_tried_again_and_what_may_not_is_said_at_once(world: World) -> None:
    for status in (408, 425, 429, 500, 502, 503, 504):
        site = Site(content(), refusals=[(status, {})] * 3)
        with one(world, site) as (_, order):
            fetched = world.fetch(order)
            is_whole(fetched, site)
            assert len(fetched.notes) == 3 and f"answered {status}" in fetched.notes[0], fetched.text
    site = Site(content(), refusals=[(503, {})] * 99)
    with one(world, site) as (_, order):
        fails(world.fetch(order), "transient", "answered 503 (unavailable)", "tried 6 times")
        assert len(site.requests) == 6
    for status in (400, 401, 403, 404, 410, 451):
        site = Site(content(), refusals=[(status, {})] * 9)
        with one(world, site) as (_, order):
            fails(world.fetch(order), "permanent", f"answered {status}")
            assert len(site.requests) == 1


@case("F17")
def a_server_is_given_the_time_it_asks_for_up_to_a_limit(world: World) -> None:
    def date(seconds: float) -> str:
        return email.utils.formatdate(time.time() + seconds, usegmt=True)

    for value, least, most in (
        ("1", 1.0, 1.5), ("3600", 1.5, 2.5), ("99999999999999999999999", 1.5, 2.5),
        (date(3600), 1.5, 2.5), (date(-3600), 0, 1), ("soon", 0, 1), ("-1", 0, 1), ("", 0, 1),
    ):
        site = Site(content(), refusals=[(429, {"Retry-After": value})])
        with one(world, site) as (_, order):
            fetched = world.fetch(order)
            is_whole(fetched, site)
            assert fetched.seconds >= least, (value, fetched.seconds)
            wait = float(fetched.notes[0].rsplit("again in ", 1)[1].removesuffix(" s"))
            assert wait <= most, (value, fetched.notes)


@case("F20 D08")
def redirects_are_followed_five_times_and_never_away_from_https(world: World) -> None:
    site = Site(content())
    with one(world, site, path="/a/b/end") as (server, order):
        def hop(path: str, location: str) -> Site:
            return server.site(path, Site(b"", refusals=[(307, {"Location": location})] * 99))

        base = f"https://files.test:{server.port}"
        for path, location in (
            ("/1", f"{base}/2"), ("/2", f"//files.test:{server.port}/3"), ("/3", "/x/4"),
            ("/x/4", "../a/5"), ("/a/5", "./b/../b/end#fragment"),
        ):
            hop(path, location)
        for start in ("/1", "/2"):
            order.update(url=base + start, directory=world.place())
            is_whole(world.fetch(order), site)
        hop("/0", "/1")
        order.update(url=f"{base}/0", directory=world.place())
        fails(world.fetch(order), "permanent", "redirected more than 5 times")
        loop = hop("/loop", "/loop")
        order.update(url=f"{base}/loop")
        fails(world.fetch(order), "permanent", "redirected more than 5 times")
        assert len(loop.requests) == 6
        for location, word in (
            ("http://files.test/x", "http, which is not followed"),
            ("HTTP://files.test/x", "http, which is not followed"),
            ("ftp://files.test/x", "something that is not https"),
            ("file:///etc/shadow", "something that is not https"),
            ("https://", "no host"), ("/a b", "blanks"),
        ):
            hop("/away", location)
            order.update(url=f"{base}/away?{SECRET}")
            fails(world.fetch(order), "permanent", word)
        server.site("/nowhere", Site(b"", refusals=[(302, {})] * 9))
        order.update(url=f"{base}/nowhere")
        fails(world.fetch(order), "permanent", "without saying where")


@case("D08")
def only_https_is_fetched(world: World) -> None:
    site = Site(content())
    with one(world, site) as (server, order):
        plain = f"http://files.test:{server.port}/file"
        for url in (plain, "ftp://files.test/a", "files.test/a", "/etc/passwd"):
            fetched = world.fetch(order | {"url": url})
            assert fetched.outcome["kind"] == "misconfigured", fetched.text
            assert "does not begin with https://" in fetched.message, fetched.text
        assert not site.requests


# TLS


@case("F30")
def each_bad_certificate_has_words_of_its_own(world: World) -> None:
    site = Site(content())
    stranger = Authority(world.directory / "certificates", "stranger")
    for pem, words in (
        (world.authority.certificate("files.test", "expired", "20200101000000Z", "20200201000000Z"),
         ["expired on 2020-02-01T00:00:00Z"]),
        (world.authority.certificate("files.test", "future", "20480101000000Z", "20490101000000Z"),
         ["is not valid before 2048-01-01T00:00:00Z"]),
        (world.authority.certificate("files.test", "self", self_signed=True), ["signed by itself"]),
        (world.authority.certificate("other.test"), ["is for other.test, not for files.test"]),
        (stranger.certificate("files.test", "theirs"),
         ["an authority that is not trusted here: Test authority stranger"]),
    ):
        with FaultServer(pem) as server:
            server.site("/file", site)
            fails(world.fetch(world.order(server, "/file", site)), "permanent", *words)
    assert not site.requests
    with FaultServer(world.pem) as server:
        server.site("/file", site)
        order = world.order(server, "/file", site)
        order["url"] = order["url"].replace("files.test", "127.0.0.1")
        assert world.fetch(order).outcome["ok"]
        order["url"] = order["url"].replace("127.0.0.1", "localhost")
        order["directory"] = world.place()
        fails(world.fetch(order), "permanent", "is for files.test, 127.0.0.1, not for localhost")


@case("F30")
def old_tls_and_no_tls_are_refused(world: World) -> None:
    site = Site(content())
    for newest in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with FaultServer(world.pem, newest=newest) as server:
            server.site("/file", site)
            fails(world.fetch(world.order(server, "/file", site)), "permanent",
                  "speaks no TLS 1.2 or newer")
    with FaultServer(world.pem, newest=ssl.TLSVersion.TLSv1_2) as server:
        server.site("/file", site)
        is_whole(world.fetch(world.order(server, "/file", site)), site)
    with socket.create_server(("127.0.0.1", 0)) as plain, one(world, site) as (_, order):
        def answer() -> None:
            connection, _ = plain.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            connection.recv(4096)

        threading.Thread(target=answer, daemon=True).start()
        order["url"] = f"https://files.test:{plain.getsockname()[1]}/file"
        fails(world.fetch(order), "permanent", "does not speak TLS at that port")


@case("F30")
def without_authorities_nothing_is_fetched(world: World) -> None:
    site = Site(content())
    empty = world.directory / "empty.pem"
    empty.write_text("")
    with one(world, site) as (_, order):
        for bundle, word in ((world.directory / "none.pem", "cannot be read"), (empty, "no certificate")):
            fetched = world.fetch(order | {"ca_certificates": str(bundle)})
            assert fetched.outcome["kind"] == "misconfigured" and word in fetched.message, fetched.text
        # The system's, which do not know ours.
        fetched = world.fetch(order | {"ca_certificates": ""})
        assert "not trusted here" in fetched.message or "ca-certificates.crt" in fetched.message
        assert not site.requests


# Names, proxies


class Resolver:
    """A resolver on port 53 of this namespace: `answers` are the next ones, then the truth."""

    def __init__(self, names: dict[str, str]):
        self.names = names
        self.answers: list[str] = []
        self.default = "truth"
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            end = question.index(b"\0", 12)
            labels, at = [], 12
            while at < end:
                labels.append(question[at + 1 : at + 1 + question[at]].decode())
                at += question[at] + 1
            name, kind = ".".join(labels), struct.unpack(">H", question[end + 1 : end + 3])[0]
            self.asked.append(name)
            how = self.answers.pop(0) if self.answers else self.default
            if how == "silence":
                continue
            if how == "late":
                time.sleep(2)
            address = self.names.get(name) if kind == 1 else None
            known = name in self.names
            code = 2 if how == "servfail" else 3 if how == "nxdomain" or not known else 0
            is_answer = bool(address) and not code
            head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, int(is_answer), 0, 0)
            body = question[12 : end + 5]
            if is_answer:
                body += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            self._socket.sendto(head + body, client)


RESOLVER: list[Resolver] = []


@case("F26")
def names_are_asked_for_and_errors_say_which_and_whom(world: World) -> None:
    resolver = RESOLVER[0]
    site = Site(content())
    pem = world.authority.certificate("dns.test")
    with FaultServer(pem) as server:
        server.site("/file", site)
        order = world.order(server, "/file", site, url=f"https://dns.test:{server.port}/file")
        for answers in ([], ["servfail"] * 4, ["late"], ["silence", "silence"]):
            resolver.answers = list(answers)
            order["directory"] = world.place()
            fetched = world.fetch(order)
            is_whole(fetched, site)
            if answers[:1] == ["servfail"]:
                assert "looking up dns.test: no answer (asked 127.0.0.1)" in fetched.notes[0]
        order["directory"] = world.place()
        for how, kind, words in (
            ("nxdomain", "permanent", "looking up dns.test: no such name (asked 127.0.0.1)"),
            ("servfail", "transient", "looking up dns.test: no answer (asked 127.0.0.1)"),
        ):
            resolver.default = how
            try:
                fetched = world.fetch(order)
            finally:
                resolver.default = "truth"
            assert fetched.outcome["kind"] == kind and words in fetched.message, fetched.text
            assert "tried 6 times" in fetched.message


@case("F26")
def through_a_proxy_it_is_the_proxy_that_knows_names(world: World) -> None:
    for pem_of_proxy in (None, world.pem):
        through_a_proxy(world, pem_of_proxy)


def through_a_proxy(world: World, pem_of_proxy: pathlib.Path | None) -> None:
    site = Site(content(3_000_000))
    pem = world.authority.certificate("far.test")
    names = {"far.test": "127.0.0.1"}
    with FaultServer(pem) as server, ConnectProxy(names, pem_of_proxy) as proxy:
        server.site("/file", site)
        more = {"proxy": proxy.url, "parallel_from": 1_000_000, "chunk": 500_000}
        order = world.order(server, "/file", site, **more)
        order["url"] = f"https://me:{SECRET}@far.test:{server.port}/file?{SECRET}"
        proxy.answers = [503]
        asked = len(RESOLVER[0].asked)
        is_whole(world.fetch(order), site)
        assert len(RESOLVER[0].asked) == asked
        assert proxy.asked and all(head.startswith("CONNECT far.test:") for head in proxy.asked)
        assert SECRET not in "".join(proxy.asked)
        order["directory"] = world.place()
        for status, word in ((403, "answered 403 for far.test"), (407, "it asks for a login")):
            proxy.answers = [status] * 9
            fetched = world.fetch(order)
            assert fetched.outcome["kind"] == "permanent" and word in fetched.message, fetched.text
        proxy.answers = []
        asked = len(proxy.asked)
        fetched = world.fetch(order | {"no_proxy": [".test"]})
        assert "looking up far.test" in fetched.message and len(proxy.asked) == asked
    fetched = world.fetch(order | {"proxy": "http://127.0.0.1:1"})
    assert "connecting to 127.0.0.1:1" in fetched.message, fetched.text


@case("F26")
def an_https_proxy_is_believed_with_a_certificate_of_its_own_alone(world: World) -> None:
    site = Site(content())
    strange = pathlib.Path(world.directory) / "strange-proxy"
    strange.mkdir()
    theirs = Authority(strange, "theirs").certificate("files.test")
    far = FaultServer(world.authority.certificate("far.test"))
    near = world.authority.certificate("near.test")
    with far as server:
        server.site("/file", site)
        order = world.order(server, "/file", site)
        order["url"] = f"https://far.test:{server.port}/file"
        for pem, words in (
            (theirs, "the proxy 127.0.0.1 is signed by an authority that is not trusted here"),
            (near, "the proxy 127.0.0.1 is for near.test, not for the proxy 127.0.0.1"),
            (None, "the proxy 127.0.0.1 does not speak TLS at that port"),
        ):
            with ConnectProxy({"far.test": "127.0.0.1"}, pem) as proxy:
                https = proxy.url.replace("http://", "https://")
                fails(world.fetch(order | {"proxy": https}), "permanent", words)
                assert not proxy.asked, proxy.asked
        # The certificate behind it is looked at just the same.
        with ConnectProxy({"far.test": "127.0.0.1"}, world.pem) as proxy:
            with FaultServer(near) as other:
                order["url"] = f"https://far.test:{other.port}/file"
                words = "the certificate of far.test is for near.test, not for far.test"
                fails(world.fetch(order | {"proxy": proxy.url}), "permanent", words)
            # What is behind it goes silent and is cut as it would without it.
            order["url"] = f"https://far.test:{server.port}/file"
            for fault, word in (("stall_at", "sent nothing"), ("cut_at", "ended the body")):
                setattr(site, fault, [50_000])
                order["directory"] = world.place()
                fetched = world.fetch(order | {"proxy": proxy.url})
                is_whole(fetched, site)
                assert len(fetched.notes) == 1 and word in fetched.notes[0], fetched.text


# Disks


@contextlib.contextmanager
def small_disk(world: World, options: str):
    place = world.place()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    shutil.chown(place, "nobody", "nogroup")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@case("F11 F12")
def room_is_asked_for_before_the_first_byte(world: World) -> None:
    site = Site(content(3_000_000))
    with small_disk(world, "size=1m") as place:
        for more in ({}, {"size": 3_000_000}):
            with one(world, site, directory=place, **more) as (_, order):
                fetched = world.fetch(order)
                fails(fetched, "permanent", "the disk is full: it needs 3000000 bytes more", "are free")
                assert "df -h" in fetched.outcome["next"]
                assert bool(site.requests) == (not more) and fetched.outcome["received"] == 0
                assert not list(place.iterdir()), list(place.iterdir())
            site.requests.clear()
        unknown = Site(content(3_000_000), length="none", ranges="ignored")
        with one(world, unknown, directory=place) as (_, order):
            fails(world.fetch(order), "permanent", "the disk is full")
            assert not list(place.iterdir())
    with small_disk(world, "size=1m,nr_inodes=1") as place, one(world, site, directory=place) as (_, order):
        fails(world.fetch(order), "permanent", "no free inodes")


@case("F14")
def a_disk_that_fails_is_believed(world: World) -> None:
    for call in ("pwrite64", "fdatasync", "fsync", "rename"):
        site = Site(content(3_000_000), rate=20_000_000)
        with one(world, site, checkpoint_ms=20) as (_, order):
            under = ("/usr/bin/strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:error=EIO")
            fails(world.fetch(order, under), "permanent", "Input/output error")
            is_whole(world.fetch(order), site)


# Kills, and taking over


@case("F01 F28")
def killed_at_any_moment_it_goes_on(world: World) -> None:
    kills = OPTIONS["kills"]
    chance = random.Random(OPTIONS["seed"])
    done = runs = sent = 0
    while done < kills:
        runs += 1
        site = Site(content(8_000_000, seed=runs), rate=chance.choice([6_000_000, 12_000_000]))
        parallel = chance.choice([1, 4])
        more = {"parallel": parallel, "parallel_from": 1_000_000, "chunk": 500_000, "checkpoint_ms": 40}
        with one(world, site, **more) as (_, order):
            killed = 0
            while killed < 12 and done < kills:
                worker = world.start(order)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(timeout=chance.uniform(0.02, 0.35))
                if worker.poll() is not None:
                    worker.communicate()
                    break
                worker.kill()
                worker.communicate()
                done, killed = done + 1, killed + 1
            fetched = world.fetch(order)
            is_whole(fetched, site)
            assert site.sent <= len(site.content) * (killed + 1), (site.sent, killed)
            sent += site.sent
    print(f"    {done} kills in {runs} downloads, {done} converged (seed {OPTIONS['seed']}); "
          f"{sent / 1e6:.0f} MB were sent for {runs * 8} MB")


@case("F06")
def a_state_that_makes_no_sense_is_not_believed(world: World) -> None:
    site = Site(content(3_000_000))
    good = None
    with one(world, site, checkpoint_ms=20) as (_, order):
        site.cut_at = [1_500_000] * 4
        site.ranges = "refused"
        place = pathlib.Path(order["directory"])
        worker = world.fetch(order)
        assert not worker.outcome["ok"]
        site.cut_at, site.ranges = [], "honest"
        good = {"version": 1, "source": Site(order["url"].encode()).sha256, "sha256": site.sha256,
                "etag": site.etag, "size": 3_000_000, "have": [[0, 1_000_000]]}
        for state, part in (
            ("", b""), ("{", b""), ("\0" * 5000, b"x"), ("[]", b"x" * 5),
            (json.dumps(good), b"short"),
            (json.dumps(good | {"version": 2}), b"x" * 1_000_000),
            (json.dumps(good | {"have": [[0, 5_000_000]]}), b"x" * 1_000_000),
            (json.dumps(good | {"have": [[5, 1], [-1, 7]]}), b"x" * 1_000_000),
            (json.dumps(good | {"etag": ""}), b"x" * 1_000_000),
            (json.dumps(good | {"etag": '"other"'}), b"x" * 1_000_000),
            (json.dumps(good | {"size": 2_999_999}), b"x" * 1_000_000),
            # It is believed, and the hash of the whole says that it should not have been.
            (json.dumps(good), b"x" * 1_000_000),
        ):
            (place / "file.state").write_text(state)
            (place / "file.part").write_bytes(part)
            for name in ("file.state", "file.part"):
                shutil.chown(place / name, "nobody", "nogroup")
            fetched = world.fetch(order)
            assert fetched.outcome["ok"] and fetched.file.read_bytes() == site.content, fetched.text
            fetched.file.unlink()
        link = place / "file.part"
        (world.directory / "canary").write_text("canary")
        link.symlink_to(world.directory / "canary")
        assert not world.fetch(order).outcome["ok"]
        assert (world.directory / "canary").read_text() == "canary"


@case("F05")
def two_at_once_do_not_write_one_file(world: World) -> None:
    site = Site(content(2_000_000), rate=2_000_000)
    with one(world, site, parallel=1) as (_, order):
        first = world.start(order)
        while not (pathlib.Path(order["directory"]) / "file.part").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        out = world.start(order).communicate(timeout=PATIENCE)[0]
        assert "another download holds it" in out, out
        assert '"ok":true' in first.communicate(timeout=PATIENCE)[0]


@case("D09")
def what_is_taken_over_are_the_verified_bytes(world: World) -> None:
    good, bad = content(2_000_000), content(2_000_000, seed=9)
    place, mine = world.place(), world.directory / "mine"
    mine.mkdir(exist_ok=True)
    order = {"from": place / "file", "to": mine / "file", "sha256": Site(good).sha256,
             "size": len(good), "mode": 0o644}

    def put(name: str, data: bytes) -> None:
        (place / name).write_bytes(data)
        shutil.chown(place / name, "nobody", "nogroup")

    put("file", good)
    assert world.adopt(order)["ok"]
    assert (mine / "file").read_bytes() == good and (mine / "file").stat().st_uid == 0
    assert world.adopt(order | {"from": ""})["ok"]
    (mine / "file").unlink()
    for data in (bad, good + b"x", good[:-1], b""):
        put("file", data)
        outcome = world.adopt(order)
        assert not outcome["ok"] and "expected sha256" in outcome["message"], outcome
        assert not list(mine.iterdir())
    (place / "file").unlink()
    (place / "file").symlink_to("/etc/shadow")
    assert not world.adopt(order)["ok"]
    (place / "file").unlink()
    os.mkfifo(place / "file")
    assert "no plain file" in world.adopt(order)["message"]
    (place / "file").unlink()

    # Killed while it takes over, it does so the next time, and nothing else is left.
    put("file", good)
    for moment in range(10):
        worker = subprocess.Popen(
            [world.agent, "worker", "adopt"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        worker.stdin.write(json.dumps(order, default=str))
        worker.stdin.close()
        time.sleep(moment * 0.002)
        worker.kill()
        worker.wait()
        assert not (mine / "file").exists() or (mine / "file").read_bytes() == good
    assert world.adopt(order)["ok"]
    assert [path.name for path in mine.iterdir()] == ["file"]
    (mine / "file").unlink()
    (place / "file").unlink()

    # Its owner swaps it all the time: by another file, by a link, and by writing into it.
    for name, data in (("file", good), ("bad", bad), ("keep", good)):
        put(name, data)
    swapper = subprocess.Popen(
        ["/usr/bin/python3", "-c", SWAP, str(place)], user="nobody", group="nogroup", extra_groups=[]
    )
    taken = 0
    try:
        for _ in range(60):
            if world.adopt(order)["ok"]:
                taken += 1
                assert (mine / "file").read_bytes() == good
                (mine / "file").unlink()
            assert not list(mine.iterdir())
    finally:
        swapper.kill()
        swapper.wait()
    print(f"    60 take-overs of a file that its owner swaps: {taken} the right one, the rest refused")


SWAP = """
import os, sys
os.chdir(sys.argv[1])
good, bad = open("keep", "rb").read(), open("bad", "rb").read()
while True:
    with open("next", "wb") as file:
        file.write(good)
    os.rename("next", "file")
    with open("file", "r+b") as file:
        file.write(bad[:1000000])
    os.symlink("bad", "next"); os.rename("next", "file")
    with open("next", "wb") as file:
        file.write(bad)
    os.rename("next", "file")
"""

OPTIONS = {"kills": 40, "seed": random.SystemRandom().randrange(1_000_000)}


def inside(names: list[str]) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        for place, text in (
            ("/etc/hosts", "127.0.0.1 localhost files.test other.test\n"),
            ("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:3 attempts:2\n"),
        ):
            ours = directory / pathlib.Path(place).name
            ours.write_text(text)
            subprocess.run(["mount", "--bind", ours, os.path.realpath(place)], check=True)
        RESOLVER.append(Resolver({"dns.test": "127.0.0.1"}))
        world = World(directory)
        covered: set[str] = set()
        chosen = [one for one in CASES if not names or any(name in one[0] for name in names)]
        for name, rows, run in chosen:
            begun = time.monotonic()
            run(world)
            print(f"{time.monotonic() - begun:5.1f} s  {name.replace('_', ' ')}", flush=True)
            covered |= set(rows.split())
        print(f"{len(chosen)} cases; catalogue rows: {' '.join(sorted(covered))}")
    return 0


def main() -> int:
    support.require_root()
    names = []
    for argument in sys.argv[1:]:
        if argument.startswith("--"):
            key, _, value = argument.removeprefix("--").partition("=")
            OPTIONS[key] = int(value)
        else:
            names.append(argument)
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable]
        os.execvp(command[0], [*command, *sys.argv])
    return inside(names)


if __name__ == "__main__":
    sys.exit(main())
