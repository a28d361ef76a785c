#!/usr/bin/python3
"""Owns the client of the metadata emulator's control socket: one JSON line asked, one answered.

It plays the world outside the VM: whoever edits metadata, and Google's getGuestAttributes API.
"""

import argparse
import json
import socket
import sys


class ControlError(Exception):
    """The emulator refused the request; the message is its own."""


class Control:
    def __init__(self, path, timeout=10.0):
        self._path = path
        self._timeout = timeout

    def set(self, path, value):
        self._ask({"set": path, "value": value})

    def delete(self, path):
        self._ask({"delete": path})

    def get(self, path):
        return self._ask({"get": path})

    def guest_attributes(self):
        """{"NAMESPACE/KEY": value}, as getGuestAttributes shows them outside the VM."""
        return self._ask({"guest_attributes": True})

    def puts(self):
        """Every PUT so far, refused ones too, as the journal shows them."""
        return self._ask({"puts": True})

    def polls(self):
        """Path and query of every long poll that waits now."""
        return self._ask({"polls": True})

    def fault(self, path, kind, value=None, times=None, method=None):
        """Disturbs requests whose path and query match the regular expression `path`; see Fault."""
        fault = {"path": path, "kind": kind, "value": value, "times": times, "method": method}
        self._ask({"fault": fault})

    def clear_faults(self):
        self._ask({"clear_faults": True})

    def down(self):
        """From now on every connection is refused."""
        self._ask({"down": True})

    def up(self):
        self._ask({"up": True})

    def limit(self, what, limits):
        """How often `guest-queries` or `reads` are answered: pairs (at most so many, in seconds).

        No pair is no limit. What is above a limit is answered with 429.
        """
        self._ask({"limit": what, "to": limits})

    def _ask(self, request):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout)
            connection.connect(self._path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
        if isinstance(answer, dict) and list(answer) == ["error"]:
            raise ControlError(answer["error"])
        return answer


def _value(text):
    if not text.startswith("@"):
        return text
    with open(text[1:], encoding="utf-8") as file:
        return file.read()


def _parser():
    parser = argparse.ArgumentParser(description="Talks to the metadata emulator.")
    parser.add_argument("socket")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("guest-attributes", "puts", "polls", "clear-faults", "down", "up"):
        commands.add_parser(name)
    for name in ("get", "delete"):
        commands.add_parser(name).add_argument("path")
    setting = commands.add_parser("set")
    setting.add_argument("path")
    setting.add_argument("value", help="text, or @FILE")
    fault = commands.add_parser("fault")
    fault.add_argument("path", help="regular expression on path and query")
    fault.add_argument("kind")
    fault.add_argument("--value", type=json.loads, help="JSON")
    fault.add_argument("--times", type=int)
    fault.add_argument("--method")
    limit = commands.add_parser("limit")
    limit.add_argument("what", choices=("guest-queries", "reads"))
    limit.add_argument("limits", nargs="*", metavar="COUNT/SECONDS", help="none: no limit")
    return parser


def _run(options):
    control = Control(options.socket)
    match options.command:
        case "get":
            return control.get(options.path)
        case "set":
            return control.set(options.path, _value(options.value))
        case "delete":
            return control.delete(options.path)
        case "fault":
            return control.fault(
                options.path, options.kind, options.value, options.times, options.method
            )
        case "limit":
            return control.limit(options.what, [limit.split("/") for limit in options.limits])
        case command:
            return getattr(control, command.replace("-", "_"))()


def main():
    try:
        answer = _run(_parser().parse_args())
    except (ControlError, OSError, ValueError) as error:
        print(f"control: {error}", file=sys.stderr)
        return 1
    if answer is not None:
        print(answer if isinstance(answer, str) else json.dumps(answer, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
