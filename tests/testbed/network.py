"""Owns the network of one stand-in VM: its namespace, its link to this machine, and its way out.

Everything is named after the VM's number, so whoever knows the number can take all of it away again,
whatever part of it exists.
"""

import contextlib
import dataclasses
import pathlib
import subprocess

METADATA_ADDRESS = "169.254.169.254"
ALL_VMS = "10.77.0.0/16"
INTERFACE = "ens4"  # what Google's images call it

_FORWARDING = pathlib.Path("/proc/sys/net/ipv4/ip_forward")


class NetworkFailed(Exception):
    """A part of the network could not be made; the message is that of ip or iptables."""


@dataclasses.dataclass(frozen=True)
class Network:
    number: int

    @property
    def namespace(self) -> str:
        return f"agent-vm{self.number}"

    @property
    def namespace_path(self) -> pathlib.Path:
        return pathlib.Path("/run/netns") / self.namespace

    @property
    def subnet(self) -> str:
        return f"10.77.{self.number}.0/24"

    @property
    def host_address(self) -> str:
        return f"10.77.{self.number}.1"

    @property
    def vm_address(self) -> str:
        return f"10.77.{self.number}.2"

    @property
    def hardware_address(self) -> str:
        return f"42:01:0a:4d:{self.number:02x}:02"  # as Google makes it: 42:01 and the address

    def create(self) -> None:
        inside = ["ip", "-n", self.namespace]
        _run(["ip", "netns", "add", self.namespace])
        _run(
            ["ip", "link", "add", self.namespace, "type", "veth", "peer", "name", INTERFACE]
            + ["netns", self.namespace, "address", self.hardware_address]
        )
        _run(["ip", "address", "add", f"{self.host_address}/24", "dev", self.namespace])
        _run(["ip", "link", "set", self.namespace, "up"])
        _run([*inside, "address", "add", f"{METADATA_ADDRESS}/32", "dev", "lo"])
        _run([*inside, "link", "set", "lo", "up"])
        _run([*inside, "address", "add", f"{self.vm_address}/24", "dev", INTERFACE])
        _run([*inside, "link", "set", INTERFACE, "up"])
        _run([*inside, "route", "add", "default", "via", self.host_address])
        # Docker inside needs it and cannot set it: /proc/sys is read-only in there.
        _run(self.enter(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]))
        for table, chain, rule in self._rules():
            _run(["iptables", "-w", "-t", table, "-I", chain, *rule])

    def cut_off(self) -> None:
        """Takes the way out: what remains in reach is this machine."""
        _run(["ip", "-n", self.namespace, "route", "delete", "default"])

    def remove(self) -> None:
        """Takes away whatever exists of it."""
        for table, chain, rule in self._rules():
            with contextlib.suppress(NetworkFailed):
                while True:
                    _run(["iptables", "-w", "-t", table, "-D", chain, *rule])
        with contextlib.suppress(NetworkFailed):
            _run(["ip", "link", "delete", self.namespace])
        if self.namespace_path.exists():
            _run(["ip", "netns", "delete", self.namespace])

    def enter(self, command: list[str]) -> list[str]:
        """The command that runs `command` in the VM's network."""
        return ["nsenter", f"--net={self.namespace_path}", *command]

    def _rules(self) -> list[tuple[str, str, list[str]]]:
        comment = ["-m", "comment", "--comment", self.namespace]
        accept = [*comment, "-j", "ACCEPT"]
        return [
            (
                "nat",
                "POSTROUTING",
                ["-s", self.subnet, "!", "-d", ALL_VMS, *comment, "-j", "MASQUERADE"],
            ),
            ("filter", "FORWARD", ["-i", self.namespace, *accept]),
            ("filter", "FORWARD", ["-o", self.namespace, *accept]),
        ]


def forwarding() -> bool:
    """Whether this machine forwards packets between its interfaces."""
    return _FORWARDING.read_text().strip() == "1"


def set_forwarding(wanted: bool) -> None:
    _FORWARDING.write_text("1" if wanted else "0")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise NetworkFailed(f"{' '.join(command)}: {done.stderr.strip()}")
