"""Owns what the end-to-end tests share: the product under test, its config, and eyes outside."""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "testbed"))
from vm import Vm  # noqa: E402

BUILD = pathlib.Path(os.environ.get("AGENT_BUILD", REPOSITORY / "build" / "release-static"))
AGENT = BUILD / "agent" / "agent"
BOOTSTRAP = BUILD / "bootstrap" / "bootstrap"
INSTALLED = "/usr/local/bin/agent"
PORT = 8888
# What a recipe of 2020 asks for: one twice, and some by names that Debian 13 no longer has.
OLD_LIBRARIES = (
    "libgl1-mesa-glx libegl1-mesa libxrandr2 libxrandr2 libxss1 libxcursor1 libxcomposite1 libasound2 "
    "libxi6 libxtst6"
).split()
PATIENCE = 600  # seconds for what takes seconds on an idle machine

# Prints what a file's being written, renamed, replaced or given away would change.
PRINT_MANIFEST = """
import json, os, sys
found = {}
for place in sys.argv[1:]:
    for directory, _, names in os.walk(place):
        for path in [directory, *(os.path.join(directory, name) for name in names)]:
            s = os.lstat(path)
            found[path] = [s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_ctime_ns]
print(json.dumps(found))
"""


def require_root() -> None:
    if os.geteuid() != 0:
        sys.exit("must be run as root, because it makes VMs")


def artefacts(name: str) -> pathlib.Path:
    """Where a test leaves what people may want to look at."""
    directory = REPOSITORY / "build" / "artefacts" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def make_password(*options: str) -> tuple[str, str]:
    """A new password and what `agent password` makes of it."""
    password = secrets.token_urlsafe(12)
    done = subprocess.run(
        [AGENT, "password", *options], input=password, check=True, stdout=subprocess.PIPE, text=True
    )
    return password, done.stdout.strip()


def config(packages: list[str], password_hash: str = "", more: str = "") -> str:
    text = f'schema = 1\n{more}\n[python]\nkind = "venv"\npackages = {json.dumps(packages)}\n'
    return text + (f'[jupyter]\npassword_hash = "{password_hash}"\n' if password_hash else "")


def service_account(email: str, scope: str, token: str) -> dict:
    """For Vm's `metadata`: the VM's default account."""
    account = {"aliases": ["default"], "email": email, "scopes": [scope]}
    told = {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
    return {"instance": {"service-accounts": {"default": account | {"token": told}}}}


def old_libraries() -> str:
    """For config()'s `more`."""
    return f"[apt]\npackages = {json.dumps(OLD_LIBRARIES)}\n"


# What is read inside the VM


def status(vm: Vm, user: str = "someone") -> subprocess.CompletedProcess:
    """`agent status`, over ssh, as somebody without any right."""
    return vm.ssh(user, ["agent", "status"], check=False, timeout=PATIENCE)


def status_json(vm: Vm) -> dict:
    done = vm.run([INSTALLED, "status", "--json"], check=False, timeout=PATIENCE)
    return json.loads(done.stdout) if done.stdout else {}


def step_states(vm: Vm) -> dict[str, str]:
    return {step["id"]: step["state"] for step in status_json(vm)["steps"]}


def property_of(vm: Vm, unit: str, name: str) -> str:
    return vm.run(["systemctl", "show", "--property", name, "--value", unit]).stdout.strip()


def manifest(vm: Vm, places: list[str]) -> dict:
    """Every path below the places, with what a write, a rename or a chmod of it would change."""
    done = vm.run(["python3", "-c", PRINT_MANIFEST, *places], timeout=PATIENCE)
    return json.loads(done.stdout)


def changes(before: dict, after: dict) -> list[str]:
    """The paths that two manifests do not agree on."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


# What is seen from outside


def accepts(vm: Vm, port: int = PORT) -> bool:
    try:
        socket.create_connection((vm.address, port), timeout=5).close()
    except OSError:
        return False
    return True


class Certificate:
    """What the VM's port shows, whoever made it."""

    def __init__(self, vm: Vm):
        pem = ssl.get_server_certificate((vm.address, PORT), timeout=30)
        self.der = ssl.PEM_cert_to_DER_cert(pem)
        self.sha256 = hashlib.sha256(self.der).hexdigest()
        self.trusted = ssl.create_default_context(cadata=pem)
        self._pem = pem

    def key_pin(self) -> str:
        """What Chromium's --ignore-certificate-errors-spki-list takes."""
        public = _openssl(["x509", "-noout", "-pubkey"], self._pem.encode())
        der = _openssl(["pkey", "-pubin", "-outform", "DER"], public)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()


def get(vm: Vm, certificate: Certificate, path: str) -> tuple[int, str]:
    """One request by somebody who has not logged in; any other certificate is an error."""
    connection = http.client.HTTPSConnection(
        vm.address, PORT, context=certificate.trusted, timeout=30
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


class Prober:
    """Connects every 100 ms; from the first accepted connection on it counts who is turned away."""

    def __init__(self, vm: Vm):
        self._address = (vm.address, PORT)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.accepted = 0
        self.turned_away: list[str] = []

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            try:
                socket.create_connection(self._address, timeout=10).close()
                self.accepted += 1
            except OSError as error:
                if self.accepted:
                    self.turned_away.append(f"after {self.accepted}: {error}")


def agent_writes(vm: Vm) -> list[dict]:
    """Every write of a guest attribute by the agent, in order: {"time", "path", "value", …}."""
    return [put for put in vm.metadata.puts() if "/guest-attributes/agent/" in put["path"]]


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(start <= t <= start + 60 for t in times) for start in times)


def _openssl(arguments: list[str], data: bytes) -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE
    ).stdout


def wait_for(condition, what: str, timeout: float = PATIENCE, every: float = 0.1):
    """The first true answer of `condition`."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(every)
    return answer
