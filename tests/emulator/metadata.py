#!/usr/bin/python3
"""Owns the stand-in for the GCE metadata server: tree, protocol, guest attributes, faults, control.

What it imitates, and where each fact comes from:
  * headers, listings, `alt`, `recursive`, ETags, long polls, 400/403/404: the pytest suite of
    Google's own metadata emulator (2016) and Google's "Querying metadata" page;
  * the 301 to the slash: salrashid123/gce_metadata_server. Recursive requests are answered without
    it: google-guest-agent asks `instance/attributes?recursive=true` and expects an answer;
  * guest attributes: google-guest-agent (WriteGuestAttributes), cloud-init (DataSourceGCE);
  * their rate: 10 queries a minute for a VM, at most 3 in a second (Google's documentation).
What no public source settles, and is a choice here: DELETE of a guest attribute, the statuses for
an oversized one (400 for the name, 413 for the value), `guestAttributes` being `{}` in a recursive
answer from above it, the wording of the refusal of X-Forwarded-For, and that a query above the rate
is answered with 429 and does not count towards it. There is no `identity` of a service account: it
would need Google's signature.

As in the real server, waiting on a key that does not exist is a 404 at once: to await a key, poll
the directory above it recursively.
"""

import argparse
import collections
import contextlib
import copy
import ctypes
import dataclasses
import hashlib
import html
import http.server
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
import urllib.parse

BASE = "/computeMetadata/v1"
GUEST_ATTRIBUTES = ("instance", "guest-attributes")
GUEST_ATTRIBUTES_OFF = b"Guest attributes endpoint access is disabled."
GUEST_NAME_LIMIT = 128
GUEST_VALUE_LIMIT = 256 * 1024
GUEST_QUERIES = ((10, 60.0), (3, 1.0))  # at most so many in so many seconds
REQUEST_BODY_LIMIT = 4 * GUEST_VALUE_LIMIT

TEXT = "application/text"
JSON = "application/json"
HTML = "text/html; charset=UTF-8"

# Lists served whole, one element a line; every other list is a directory of indices.
WHOLE_LISTS = {"aliases", "dns-servers", "scopes", "tags"}
# Directories whose keys are names that people chose: never turned into camelCase.
NAMED_CHILDREN = {"attributes", "service-accounts"}

PEER_CHECK_SECONDS = 0.5
SHUTDOWN_CHECK_SECONDS = 0.02
PR_SET_PDEATHSIG = 1


def default_tree(**overrides):
    """A plausible small VM. `overrides` are merged into it: dicts deeply, None removes a key."""
    number = 123456789012
    account = {
        "aliases": ["default"],
        "email": f"{number}-compute@developer.gserviceaccount.com",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "token": {
            "access_token": "emulator-access-token",
            "expires_in": 3599,
            "token_type": "Bearer",
        },
    }
    tree = {
        "instance": {
            "attributes": {},
            "cpu-platform": "Intel Broadwell",
            "description": "",
            "disks": [
                {
                    "device-name": "persistent-disk-0",
                    "index": 0,
                    "interface": "SCSI",
                    "mode": "READ_WRITE",
                    "type": "PERSISTENT",
                }
            ],
            "guest-attributes": {},
            "hostname": "vm-1.us-central1-a.c.example-project.internal",
            "id": 13512546227574112017,  # above 2^63: a client that reads it signed must fail
            "image": "projects/debian-cloud/global/images/debian-12-bookworm-v20250812",
            "legacy-endpoint-access": {"0.1": 0, "v1beta1": 0},
            "licenses": [{"id": "2147286739765738111"}],
            "machine-type": f"projects/{number}/machineTypes/e2-standard-2",
            "maintenance-event": "NONE",
            "name": "vm-1",
            "network-interfaces": [
                {
                    "access-configs": [{"external-ip": "203.0.113.7", "type": "ONE_TO_ONE_NAT"}],
                    "dns-servers": ["169.254.169.254"],
                    "forwarded-ips": [],
                    "gateway": "10.128.0.1",
                    "ip": "10.128.0.2",
                    "ip-aliases": [],
                    "mac": "42:01:0a:80:00:02",
                    "mtu": 1460,
                    "network": f"projects/{number}/networks/default",
                    "subnetmask": "255.255.240.0",
                    "target-instance-ips": [],
                }
            ],
            "preempted": "FALSE",
            "remaining-cpu-time": -1,
            "scheduling": {
                "automatic-restart": "TRUE",
                "on-host-maintenance": "MIGRATE",
                "preemptible": "FALSE",
            },
            "service-accounts": {"default": account, account["email"]: copy.deepcopy(account)},
            "tags": [],
            "virtual-clock": {"drift-token": "0"},
            "zone": f"projects/{number}/zones/us-central1-a",
        },
        "project": {
            "attributes": {},
            "numeric-project-id": number,
            "project-id": "example-project",
        },
        "universe": {"universe-domain": "googleapis.com"},
    }
    _merge(tree, overrides)
    return tree


def _merge(target, changes):
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


def _segments(path):
    return tuple(part for part in path.split("/") if part)


def _json(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _text(value):
    return value if isinstance(value, str) else _json(value)


def _camel_case(key):
    return re.sub(r"-([a-z0-9])", lambda match: match[1].upper(), key)


def _has_named_children(path):
    return path[:2] == GUEST_ATTRIBUTES or (len(path) == 2 and path[1] in NAMED_CHILDREN)


@dataclasses.dataclass(frozen=True)
class Node:
    """One place in the tree: its value and the path that gives the value its meaning."""

    path: tuple
    value: object

    @property
    def is_token(self):
        return (
            len(self.path) == 4
            and self.path[:2] == ("instance", "service-accounts")
            and self.path[3] == "token"
        )

    @property
    def is_whole_list(self):
        return isinstance(self.value, list) and self.path[-1] in WHOLE_LISTS

    @property
    def is_directory(self):
        if isinstance(self.value, list):
            return not self.is_whole_list
        return isinstance(self.value, dict) and not self.is_token

    def children(self):
        if isinstance(self.value, dict):
            names = sorted(self.value)
            return [Node((*self.path, name), self.value[name]) for name in names]
        return [Node((*self.path, str(i)), item) for i, item in enumerate(self.value)]

    def child(self, name):
        """The named child, or None."""
        if not self.is_directory:
            return None
        return next((node for node in self.children() if node.path[-1] == name), None)

    def listing(self):
        return "".join(
            node.path[-1] + ("/\n" if node.is_directory else "\n") for node in self.children()
        )

    def plain(self):
        """The value as a recursive JSON answer shows it."""
        if not self.is_directory:
            return self.value
        shown = [node for node in self.children() if not node.is_token]
        if isinstance(self.value, list):
            return [node.plain() for node in shown]
        named = _has_named_children(self.path)
        result = {}
        for node in shown:
            key = node.path[-1] if named else _camel_case(node.path[-1])
            result[key] = {} if node.path == GUEST_ATTRIBUTES else node.plain()
        return result

    def text_lines(self, prefix=""):
        """The value as a recursive text answer shows it: `path value` lines."""
        if self.is_token:
            return "".join(f"{key} {_text(value)}\n" for key, value in self.value.items())
        lead = f"{prefix} " if prefix else ""
        if self.is_whole_list:
            return "".join(f"{lead}{_text(item)}\n" for item in self.value)
        if not self.is_directory:
            return f"{lead}{_text(self.value)}\n" if prefix else _text(self.value)
        below = f"{prefix}/" if prefix else ""
        return "".join(
            node.text_lines(below + node.path[-1])
            for node in self.children()
            if not node.is_token and node.path != GUEST_ATTRIBUTES
        )


class Tree:
    """The metadata values, and the condition on which long polls wait for them to change."""

    def __init__(self, values):
        self.changed = threading.Condition()
        self._values = copy.deepcopy(values)
        self._values.setdefault("instance", {}).setdefault("guest-attributes", {})

    def node(self, path):
        """The node at a path of segments, or None. The caller holds `changed`."""
        node = Node((), self._values)
        for name in path:
            node = node.child(name)
            if node is None:
                return None
        return node

    def get(self, path):
        with self.changed:
            node = self.node(_segments(path))
            if node is None:
                raise KeyError(path)
            return copy.deepcopy(node.value)

    def set(self, path, value):
        """Creates or replaces a value; missing directories on the way are made."""
        *parents, name = _segments(path)
        with self.changed:
            place = self._values
            for parent in parents:
                if isinstance(place, list):
                    place = place[int(parent)]
                else:
                    place = place.setdefault(parent, {})
            place[int(name) if isinstance(place, list) else name] = copy.deepcopy(value)
            self.changed.notify_all()

    def delete(self, path):
        *parents, name = _segments(path)
        with self.changed:
            parent = self.node(parents)
            if parent is None or parent.child(name) is None:
                raise KeyError(path)
            del parent.value[int(name) if isinstance(parent.value, list) else name]
            self.changed.notify_all()

    def guest_attributes_enabled(self):
        """The instance's attribute decides; the project's only where the instance has none."""
        with self.changed:
            for owner in ("instance", "project"):
                node = self.node((owner, "attributes", "enable-guest-attributes"))
                if node is not None:
                    return _text(node.value).upper() == "TRUE"
        return False

    def guest_attributes(self):
        with self.changed:
            return {
                f"{namespace.path[-1]}/{entry.path[-1]}": entry.value
                for namespace in self.node(GUEST_ATTRIBUTES).children()
                for entry in namespace.children()
            }


class Journal:
    """Remembers every request: all of them in the JSONL file, the PUTs also in memory."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8") if path else None
        self._puts = []

    def add(self, entry):
        with self._lock:
            if entry["method"] == "PUT":
                self._puts.append(entry)
            if self._file:
                self._file.write(_json(entry) + "\n")
                self._file.flush()

    def puts(self):
        with self._lock:
            return list(self._puts)

    def close(self):
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None


@dataclasses.dataclass
class Fault:
    """A disturbance of the requests whose path and query match.

    kind          value
    status        the HTTP status answered instead
    no_flavor     -              the right answer without Metadata-Flavor
    wrong_flavor  text           the right answer with another Metadata-Flavor
    slow          seconds        before the right answer
    trickle       seconds        between any two bytes of the right answer's body
    cut           bytes sent     of the right answer before the close, or "headers", "body": half of
                                 these (default: all but the last byte)
    truncated     bytes          of the right body that are left, in an answer that is whole
                                 (default: half)
    length        difference     of the announced length from the body's; then the close
    endless       -              the right body over and over, until the client goes away
    html          body           a page of somebody else, as a captive portal gives: 200, no flavor
    hang          -              no answer until the client goes away

    times    how many requests are disturbed; default: until the faults are cleared
    method   only requests of this one; default: any
    """

    path: str
    kind: str
    value: object = None
    times: int | None = None
    method: str | None = None

    NUMBERS = ("slow", "trickle", "length")
    KINDS = (
        *("status", "no_flavor", "wrong_flavor", *NUMBERS),
        *("cut", "truncated", "endless", "html", "hang"),
    )

    def __post_init__(self):
        if self.kind not in self.KINDS:
            raise ValueError(f"unknown fault kind: {self.kind}")
        if self.kind == "status":
            self.value = int(http.HTTPStatus(self.value))
        if self.kind in self.NUMBERS and not isinstance(self.value, int | float):
            raise ValueError(f"{self.kind} takes a number")
        if self.kind == "cut" and not isinstance(self.value, int | None):
            if self.value not in ("headers", "body"):
                raise ValueError("cut takes a number of bytes, headers or body")
        re.compile(self.path)

    def meets(self, method, target):
        return self.method in (None, method) and re.search(self.path, target)


class Faults:
    """The faults in force; the oldest that matches wins and uses up one of its times."""

    def __init__(self):
        self._lock = threading.Lock()
        self._faults = []

    def add(self, fault):
        with self._lock:
            self._faults.append(fault)

    def clear(self):
        with self._lock:
            self._faults.clear()

    def take(self, method, target):
        with self._lock:
            for fault in self._faults:
                if not fault.meets(method, target):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None


class Rate:
    """How often something may happen: `limits` are pairs (at most so many, in so many seconds)."""

    def __init__(self, limits=(), clock=time.monotonic):
        self._lock = threading.Lock()
        self._clock = clock
        self.set(limits)

    def set(self, limits):
        limits = tuple((int(count), float(seconds)) for count, seconds in limits)
        if any(count < 1 or seconds <= 0 for count, seconds in limits):
            raise ValueError("a rate is a number of queries and a number of seconds")
        with self._lock:
            self._limits = limits
            self._taken = collections.deque(maxlen=max((count for count, _ in limits), default=0))

    def take(self):
        """Whether it may happen now; if so, it has."""
        now = self._clock()
        with self._lock:
            for count, seconds in self._limits:
                if len(self._taken) >= count and self._taken[-count] > now - seconds:
                    return False
            self._taken.append(now)
        return True


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple = ()
    flavor: str | None = "Google"

    @property
    def etag(self):
        return dict(self.headers).get("ETag")


def _error(status, message):
    phrase = http.HTTPStatus(status).phrase
    page = (
        f"<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n"
        f"<title>Error {status} ({phrase})!!1</title>\n"
        f"<p><b>{status}.</b> <ins>That\u2019s an error.</ins>\n<p>{message}\n"
    )
    return Response(status, page.encode(), HTML)


def _forbidden(path, reason):
    return _error(
        403,
        "Your client does not have permission to get URL "
        f"<code>{html.escape(path)}</code> from this server. {reason}",
    )


def _not_found(path):
    return _error(
        404, f"The requested URL <code>{html.escape(path)}</code> was not found on this server."
    )


def _found(identity, body, content_type):
    etag = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Response(200, body.encode(), content_type, (("ETag", etag),))


class Query:
    """The parameters the server knows; unknown ones and unknown values are ignored."""

    def __init__(self, text):
        values = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        self.recursive = values.get("recursive", "").lower() == "true"
        self.wait_for_change = values.get("wait_for_change", "").lower() == "true"
        self.last_etag = values.get("last_etag")
        self.alt = values.get("alt") if values.get("alt") in ("json", "text") else None
        timeout = values.get("timeout_sec", "")
        self.timeout_sec = int(timeout) if timeout.isdecimal() else None


def _render(node, query, path, location):
    """The answer for what stands at `path` now, or that it is nowhere. Never waits."""
    if node is None:
        return _not_found(path)
    if not node.is_directory:
        if path.endswith("/"):
            return _not_found(path)
        return _render_leaf(node, query)
    if query.recursive:
        identity = "recursive " + _json(node.plain())
        if query.alt == "text":
            return _found(identity, node.text_lines(), TEXT)
        return _found(identity, _json(node.plain()), JSON)
    if not path.endswith("/"):
        return Response(301, headers=(("Location", location),))
    if query.alt or query.wait_for_change:
        parameter = "alt" if query.alt else "wait_for_change"
        return _error(400, f"A directory takes {parameter} only with recursive=true.")
    return _found("listing " + node.listing(), node.listing(), TEXT)


def _render_leaf(node, query):
    identity = _json(node.value)
    json_by_default = node.is_token or node.path == ("instance", "tags")
    if query.alt == "json" or (query.alt is None and json_by_default):
        return _found(identity, identity, JSON)
    return _found(identity, node.text_lines(), TEXT)


class _ClientGone(Exception):
    """Nobody is left to answer: the peer closed, or the server is stopping."""


class _RequestHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._handle()

    do_PUT = do_DELETE = do_HEAD = do_POST = do_GET

    def log_message(self, format, *args):
        """The journal is the only log."""

    def _handle(self):
        owner = self.server.owner
        body = self._read_body()
        fault = owner.faults.take(self.command, self.path)
        entry = {
            "time": time.time(),
            "monotonic": time.monotonic(),
            "method": self.command,
            "path": self.path,
            "status": None,
            "peer": "%s:%d" % self.client_address[:2],
        }
        if self.command == "PUT":
            entry["value"] = (body or b"").decode("utf-8", "replace")
        if fault:
            entry["fault"] = fault.kind
        try:
            response = self._disturbed(body, fault)
            entry["status"] = response.status
        except _ClientGone:
            self.close_connection = True
            return
        finally:
            owner.journal.add(entry)
        self._send(response, fault)

    def _read_body(self):
        """The body, or None where there is none that can be read; then the connection ends."""
        length = self.headers.get("Content-Length", "0")
        if (
            "Transfer-Encoding" in self.headers
            or not length.isdecimal()
            or int(length) > REQUEST_BODY_LIMIT
        ):
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def _disturbed(self, body, fault):
        match fault and fault.kind:
            case "status":
                return _error(fault.value, "This answer was ordered.")
            case "html":
                page = fault.value or "<!DOCTYPE html>\n<title>Sign in to the network</title>\n"
                return Response(200, page.encode(), HTML, flavor=None)
            case "hang":
                self._pause(None)
            case "slow":
                self._pause(fault.value)
        response = self._respond(body)
        match fault and fault.kind:
            case "no_flavor":
                return dataclasses.replace(response, flavor=None)
            case "wrong_flavor":
                return dataclasses.replace(response, flavor=fault.value or "Goggle")
            case "truncated":
                left = len(response.body) // 2 if fault.value is None else fault.value
                return dataclasses.replace(response, body=response.body[:left])
        return response

    def _respond(self, body):
        raw_path, _, query_text = self.path.partition("?")
        path = urllib.parse.unquote(raw_path)
        if "X-Forwarded-For" in self.headers:
            return _forbidden(path, "X-Forwarded-For header is not allowed.")
        # Go's client and google-auth find out whether they are on GCE by asking for the root.
        if path == "/" and self.command == "GET":
            return _found("root", "0.1/\ncomputeMetadata/\n", TEXT)
        if self.headers.get("Metadata-Flavor") != "Google":
            return _forbidden(path, "Missing Metadata-Flavor:Google header.")
        if not (path + "/").startswith(BASE + "/"):
            return _not_found(path)
        segments = _segments(path[len(BASE) :])
        tree = self.server.owner.tree
        in_guest_attributes = segments[:2] == GUEST_ATTRIBUTES
        if in_guest_attributes and not tree.guest_attributes_enabled():
            return Response(403, GUEST_ATTRIBUTES_OFF, HTML)
        rate = self.server.owner.guest_queries if in_guest_attributes else self.server.owner.reads
        if not rate.take():
            return _error(429, "Rate limit exceeded.")
        if self.command == "GET":
            host = self.headers.get("Host", "metadata.google.internal")
            location = f"http://{host}{raw_path}/" + (f"?{query_text}" if query_text else "")
            return self._get(segments, Query(query_text), path, location)
        if in_guest_attributes and self.command == "PUT":
            return self._put(segments, path, body)
        if in_guest_attributes and self.command == "DELETE":
            return self._delete(segments, path)
        return _error(405, f"The request method <code>{self.command}</code> is inappropriate.")

    def _get(self, segments, query, path, location):
        tree = self.server.owner.tree
        with tree.changed:
            response = _render(tree.node(segments), query, path, location)
            if not query.wait_for_change or response.status != 200:
                return response
            known = query.last_etag or response.etag
            with self.server.owner.poll(self.path):
                deadline = _deadline(query.timeout_sec)
                while response.etag == known and _remaining(deadline) > 0:
                    tree.changed.wait(min(_remaining(deadline), PEER_CHECK_SECONDS))
                    self._require_client()
                    response = _render(tree.node(segments), query, path, location)
            return response

    def _put(self, segments, path, body):
        if len(segments) != 4 or path.endswith("/"):
            return _error(400, "A guest attribute is guest-attributes/NAMESPACE/KEY.")
        if any(len(name.encode()) > GUEST_NAME_LIMIT for name in segments[2:]):
            return _error(400, f"Namespace and key take {GUEST_NAME_LIMIT} bytes each.")
        if body is None or len(body) > GUEST_VALUE_LIMIT:
            return _error(413, f"A guest attribute takes {GUEST_VALUE_LIMIT} bytes.")
        self.server.owner.tree.set("/".join(segments), body.decode("utf-8", "replace"))
        return Response(200)

    def _delete(self, segments, path):
        if len(segments) != 4 or path.endswith("/"):
            return _error(400, "A guest attribute is guest-attributes/NAMESPACE/KEY.")
        try:
            self.server.owner.tree.delete("/".join(segments))
        except KeyError:
            return _not_found(path)
        return Response(200)

    def _pause(self, seconds):
        """Waits, for ever where `seconds` is None, as long as somebody waits for the answer."""
        deadline = _deadline(seconds)
        while _remaining(deadline) > 0:
            self.server.owner.stopping.wait(min(_remaining(deadline), PEER_CHECK_SECONDS))
            self._require_client()

    def _require_client(self):
        if self.server.owner.stopping.is_set():
            raise _ClientGone
        try:
            gone = not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:
            raise _ClientGone

    def _send(self, response, fault):
        kind = fault and fault.kind
        if kind in ("cut", "length", "endless"):
            self.close_connection = True
        body = response.body if self.command != "HEAD" else b""
        head = self._head(response, fault)
        try:
            if kind == "trickle":
                self.wfile.write(head)
                for i in range(len(body)):
                    self.wfile.write(body[i : i + 1])
                    self._pause(fault.value)
            elif kind == "endless":
                self.wfile.write(head)
                while not self.server.owner.stopping.is_set():
                    self.wfile.write(body or b"\n")
            elif kind == "cut":
                self.wfile.write((head + body)[: _cut(fault.value, head, body)])
            else:
                self.wfile.write(head + body)
        except (OSError, _ClientGone):
            self.close_connection = True

    def _head(self, response, fault):
        lines = [
            f"HTTP/1.1 {response.status} {http.HTTPStatus(response.status).phrase}",
            f"Content-Type: {response.content_type}",
            f"Date: {self.date_time_string()}",
            "Server: Metadata Server for VM",
            "X-XSS-Protection: 0",
            "X-Frame-Options: SAMEORIGIN",
        ]
        if not fault or fault.kind != "endless":
            longer = fault.value if fault and fault.kind == "length" else 0
            lines.append(f"Content-Length: {max(0, len(response.body) + longer)}")
        if response.flavor:
            lines.append(f"Metadata-Flavor: {response.flavor}")
        lines += [f"{name}: {value}" for name, value in response.headers]
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _cut(value, head, body):
    """How many bytes of the answer are sent before the close."""
    match value:
        case None:
            return len(head) + len(body) - 1
        case "headers":
            return len(head) // 2
        case "body":
            return len(head) + len(body) // 2
    return value


def _deadline(seconds):
    return None if seconds is None else time.monotonic() + seconds


def _remaining(deadline):
    return float("inf") if deadline is None else deadline - time.monotonic()


class _HttpServer(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    block_on_close = False

    def __init__(self, listen, owner):
        self.owner = owner
        self._lock = threading.Lock()
        self._connections = set()
        super().__init__(listen, _RequestHandler)

    def server_bind(self):
        # HTTPServer would look up the host's name in the DNS here.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request, client_address):
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self):
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """A client that resets its connection is no event; anything else is a bug to show."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _ControlHandler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            try:
                answer = self.server.owner.control(json.loads(line))
            except KeyError as error:
                answer = {"error": f"not found: {error.args[0]}"}
            except (AttributeError, IndexError, TypeError, ValueError, re.error) as error:
                answer = {"error": str(error)}
            self.wfile.write(_json(answer).encode() + b"\n")


class _ControlServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path, owner):
        self.owner = owner
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        super().__init__(path, _ControlHandler)

    def server_close(self):
        super().server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.server_address)


class MetadataServer:
    """The running server; a context manager. It serves from construction on, until stop()."""

    def __init__(self, tree, listen=("127.0.0.1", 0), control_path=None, log_path=None):
        self.tree = Tree(tree)
        self.faults = Faults()
        self.guest_queries = Rate(GUEST_QUERIES)
        self.reads = Rate()
        self.stopping = threading.Event()
        self._polls = []
        self._threads = {}
        self._lock = threading.Lock()
        self._http = _HttpServer(listen, self)
        self._listen = self._http.server_address[:2]
        self.address = "%s:%d" % self._listen
        self._control = None
        try:
            if control_path:
                self._control = _ControlServer(control_path, self)
            self.journal = Journal(log_path)
        except OSError:
            self._http.server_close()
            if self._control:
                self._control.server_close()
            raise
        for server in filter(None, (self._http, self._control)):
            self._start(server)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the listeners and drops the waiting long polls without an answer."""
        self.stopping.set()
        with self.tree.changed:
            self.tree.changed.notify_all()
        for server in list(self._threads):
            self._end(server)
        self.journal.close()

    def down(self):
        """From now on connections are refused, and those that there were are gone."""
        with self._lock:
            if self._http in self._threads:
                self._end(self._http)
                self._http.drop_connections()

    def up(self):
        """Listens again where it did before down()."""
        with self._lock:
            if self._http not in self._threads:
                self._http = _HttpServer(self._listen, self)
                self._start(self._http)

    def _start(self, server):
        thread = threading.Thread(
            target=server.serve_forever, args=(SHUTDOWN_CHECK_SECONDS,), daemon=True
        )
        self._threads[server] = thread
        thread.start()

    def _end(self, server):
        server.shutdown()
        self._threads.pop(server).join()
        server.server_close()

    @contextlib.contextmanager
    def poll(self, target):
        """Marks a long poll as waiting. The caller holds the tree's condition."""
        self._polls.append(target)
        self.tree.changed.notify_all()
        try:
            yield
        finally:
            self._polls.remove(target)
            self.tree.changed.notify_all()

    def polls(self):
        """Path and query of every long poll that waits now."""
        with self.tree.changed:
            return list(self._polls)

    def await_polls(self, count, timeout):
        """Returns as soon as `count` long polls wait; False if that took over `timeout` seconds."""
        with self.tree.changed:
            return self.tree.changed.wait_for(lambda: len(self._polls) == count, timeout)

    def control(self, request):
        """Answers one request of the control socket. KeyError: no such path; ValueError: misuse."""
        match request:
            case {"set": str(path), "value": value}:
                self.tree.set(path, value)
            case {"delete": str(path)}:
                self.tree.delete(path)
            case {"get": str(path)}:
                return self.tree.get(path)
            case {"guest_attributes": True}:
                return self.tree.guest_attributes()
            case {"puts": True}:
                return self.journal.puts()
            case {"polls": True}:
                return self.polls()
            case {"fault": dict(fault)}:
                self.faults.add(Fault(**fault))
            case {"clear_faults": True}:
                self.faults.clear()
            case {"down": True}:
                self.down()
            case {"up": True}:
                self.up()
            case {"limit": "guest-queries", "to": list(limits)}:
                self.guest_queries.set(limits)
            case {"limit": "reads", "to": list(limits)}:
                self.reads.set(limits)
            case _:
                raise ValueError("unknown control request")
        return {"ok": True}


def _die_with_parent():
    """Asks for SIGTERM when the parent's thread ends; False if the parent is gone already."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent


def main():
    parser = argparse.ArgumentParser(description="A stand-in for the GCE metadata server.")
    parser.add_argument("--listen", required=True, metavar="ADDR:PORT")
    parser.add_argument("--tree", metavar="FILE.json", help="default: a plausible small VM")
    parser.add_argument("--control", metavar="SOCKETPATH")
    parser.add_argument("--log", metavar="FILE.jsonl")
    parser.add_argument("--die-with-parent", action="store_true")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdecimal():
        parser.error("--listen takes ADDR:PORT")

    # Blocked before any thread starts, so that only sigwait below ever sees them.
    endings = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    if options.die_with_parent and not _die_with_parent():
        return 0
    try:
        tree = default_tree()
        if options.tree:
            with open(options.tree, encoding="utf-8") as file:
                tree = json.load(file)
        server = MetadataServer(tree, (host, int(port)), options.control, options.log)
    except (OSError, ValueError) as error:
        print(f"metadata: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"listening {server.address}", flush=True)
        signal.sigwait(endings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
