#!/usr/bin/python3
"""Proves what people see, from the first second to a reboot.

The live view, where to go when the port is out of reach, login link, certificate, a password
that is set on the machine, and the serial console. The machine's user is one that only NSS knows,
like a person of OS Login.

One VM, in the order of the tests' numbers.
"""

import contextlib
import fcntl
import http.cookiejar
import json
import os
import pty
import re
import shutil
import ssl
import struct
import subprocess
import sys
import termios
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import support
from support import INSTALLED, PATIENCE, PORT, Vm, wait_for

import requirements  # the testbed's, as vm

USER = "ada_example_com"
UID = 1234567
COLUMNS, ROWS = 80, 30
PASSWORDS = ["correct-horse-battery", "staple-of-another-kind"]


def only_in_nss(root) -> None:
    """An account that stands in no /etc/passwd and has no home: before its first login."""
    library = "usr/lib/libnss_extrausers.so.2"
    shutil.copy(requirements.debian_files("libnss-extrausers") / library, root / library)
    switch = root / "etc/nsswitch.conf"
    sources = r"^(passwd|group|shadow):.*$"
    switch.write_text(re.sub(sources, r"\1: files extrausers", switch.read_text(), flags=re.M))
    directory = root / "var/lib/extrausers"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "passwd").write_text(f"{USER}:x:{UID}:{UID}::/home/{USER}:/bin/bash\n")
    (directory / "group").write_text(f"{USER}:x:{UID}:\n")
    (directory / "shadow").write_text(f"{USER}:*:19000:0:99999:7:::\n")


class Terminal:
    """A command on a terminal of 80 columns, and what a person sees of it."""

    def __init__(self, command: list[str]):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )
        os.close(slave)
        self._master = master
        self.bytes = b""

    def read(self, until: bytes | None = None, timeout: float = PATIENCE) -> None:
        """Reads until these bytes came, or until the command's end."""
        deadline = time.monotonic() + timeout
        while until is None or until not in self.bytes:
            try:
                some = os.read(self._master, 4096)
            except OSError:  # the command has ended
                return
            if not some or time.monotonic() > deadline:
                return
            self.bytes += some

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        self.read()
        status = self._process.wait()
        os.close(self._master)
        return status

    def screen(self) -> list[str]:
        """The lines that stand there in the end."""
        lines, row, column = [""], 0, 0
        for piece in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[^\x1b]", self.bytes.decode()):
            if piece == "\r":
                column = 0
            elif piece == "\n":
                row += 1
            elif piece.endswith("A") and len(piece) > 1:
                row -= int(piece[2:-1])
                assert row >= 0, "the cursor left the picture"
            elif piece == "\x1b[K":
                lines[row] = lines[row][:column]
            elif piece == "\x1b[J":
                lines[row] = lines[row][:column]
                del lines[row + 1 :]
            elif len(piece) == 1:
                lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + 1 :]
                column += 1
                assert column <= COLUMNS or "http" in lines[row], lines[row]
            lines += [""] * (row + 1 - len(lines))
        return [line.rstrip() for line in lines]


class Status(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        config = support.config([], more=f'[machine]\nuser = "{USER}"\n')
        cls.vm = Vm(bootstrap=support.BOOTSTRAP, config=config, prepare=only_in_nss)
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, support.artefacts("status"))

    applied_at_first: list[str] = []

    def test_1_the_setup_as_it_goes(self):
        wait_for(lambda: support.status_json(self.vm).get("steps"), "a status with steps")
        lines = subprocess.Popen(
            [*self.vm.ssh_command("someone"), "agent status --watch --wait"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        live = self.terminal("someone", "agent status --wait")
        self.assertEqual(live.end(), 0, live.screen())
        told, _ = lines.communicate(timeout=PATIENCE)
        print(told)
        self.assertEqual(lines.returncode, 0)
        frames = live.bytes.count(b"STEP")
        print(f"{frames} pictures in {len(live.bytes)} bytes")
        self.assertGreater(frames, 3)
        self.assertIn(b"\x1b[?25l", live.bytes)
        self.assertTrue(live.bytes.rindex(b"\x1b[?25h") > live.bytes.rindex(b"\x1b[?25l"))
        screen = "\n".join(live.screen())
        print(screen)
        said = support.status(self.vm)
        self.assertEqual(said.returncode, 0)
        self.assertEqual(screen.count("STEP "), 1)  # what was drawn on the way is gone
        # Where it stands since when is another moment's.
        self.assertEqual(screen.splitlines()[1:], said.stdout.splitlines()[1:])
        for line in told.splitlines():
            self.assertRegex(line, r"^\d\d:\d\d:\d\d \w")
        states = support.step_states(self.vm)
        type(self).applied_at_first = sorted(s for s in states if states[s] == "applied")
        for step in states:
            ends = re.findall(rf"^\S+ {step}: (?:applied|satisfied)", told, re.M)
            self.assertEqual(len(ends), 1, step)

    def test_2_ctrl_c_leaves_the_terminal_as_it_was(self):
        watch = self.terminal("someone", "agent status --watch")
        watch.read(until=b"ready  ")
        watch.type(b"\x03")
        watch.end()
        self.assertGreater(watch.bytes.rindex(b"\x1b[?25h"), watch.bytes.rindex(b"\x1b[?25l"))
        self.assertTrue(watch.screen()[0].startswith("ready for"), watch.screen())

    def test_3_a_user_that_only_nss_knows(self):
        self.assertNotIn(USER, (self.vm.root / "etc/passwd").read_text())
        home = self.vm.run(["stat", "--format=%u %F", f"/home/{USER}"]).stdout.strip()
        self.assertEqual(home, f"{UID} directory")
        process = support.property_of(self.vm, "agent-jupyter.service", "MainPID")
        owner = self.vm.run(["stat", "--format=%u", f"/proc/{process}"]).stdout.strip()
        self.assertEqual(owner, str(UID))

    def test_4_the_url_and_the_login_link(self):
        self.vm.authorize(USER)
        token = self.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
        url = f"https://127.0.0.1:{PORT}/"
        for user, command, knows in (
            ("someone", "agent url", False),
            ("admin", "sudo agent url", True),
            (USER, "agent url", True),
        ):
            with self.subTest(user):
                terminal = self.terminal(user, command)
                self.assertEqual(terminal.end(), 0)
                shown = terminal.bytes.decode().split()
                self.assertEqual(shown, [url] + [f"{url}lab?token={token}"] * knows)
                piped = self.vm.ssh(user, command.split())
                self.assertEqual(piped.stdout, f"{url}\n")

    def test_5_how_to_reach_it_without_a_password(self):
        said = support.status(self.vm).stdout
        project = self.vm.metadata.get("project/project-id")
        tunnel = f"gcloud compute ssh vm-1 --project={project} --zone=us-central1-a -- -L 8888:"
        self.assertIn(tunnel, self.joined(said))
        self.assertFalse(support.accepts(self.vm))

    def test_6_a_password_that_is_set_here(self):
        refused = self.vm.ssh("someone", ["agent", "password", "--set"], check=False)
        self.assertEqual(refused.returncode, 77)
        self.set_password(PASSWORDS[0])
        wait_for(lambda: support.accepts(self.vm), "the port to open")
        wait_for(lambda: self.lets_in(PASSWORDS[0]), "the password to be taken")
        self.assertFalse(self.lets_in("not " + PASSWORDS[0]))
        self.set_password(PASSWORDS[1])
        wait_for(lambda: self.lets_in(PASSWORDS[1]), "the second password to be taken")
        self.assertFalse(self.lets_in(PASSWORDS[0]))
        drop_in = "/etc/agent/agent.d/90-password.toml"
        mode = self.vm.run(["stat", "--format=%a %U", drop_in]).stdout.strip()
        self.assertEqual(mode, "600 root")
        secret = self.vm.run(["cat", drop_in]).stdout.split('"')[1]
        told = self.vm.journal() + json.dumps(support.agent_writes(self.vm))
        for word in (*PASSWORDS, secret, secret.rpartition("$")[2]):
            self.assertNotIn(word, told)

    def test_7_how_to_reach_it_with_a_password(self):
        wait_for(lambda: support.status(self.vm).returncode == 0, "the machine to be ready")
        said = self.joined(support.status(self.vm).stdout)
        project = self.vm.metadata.get("project/project-id")
        self.assertIn(
            f"gcloud compute firewall-rules create allow-jupyter-8888 --project={project} "
            "--network=default --allow=tcp:8888 --target-tags=jupyter --source-ranges=YOUR-IP/32",
            said,
        )
        self.assertIn(
            "gcloud compute start-iap-tunnel vm-1 8888 --local-host-port=localhost:8888 "
            f"--zone=us-central1-a --project={project}",
            said,
        )

    def test_8_the_certificate_as_anybody_sees_it(self):
        said = self.vm.ssh("someone", ["agent", "cert"]).stdout
        print(said)
        certificate = support.Certificate(self.vm)
        self.assertIn(f"\n{certificate.sha256}\n", said)
        colons = re.findall(r"^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$", said, re.M)
        self.assertEqual(colons[0].replace(":", "").lower(), certificate.sha256)
        self.assertIn(self.vm.address, said)
        files = ["/run/agent/certificate.pem", "/run/agent/machine.json"]
        public = self.vm.ssh("someone", ["cat", *files])
        self.assertNotIn("KEY", public.stdout)

    def test_9_a_password_of_the_metadata_wins(self):
        theirs, mine = support.make_password()
        config = support.config([], mine, f'[machine]\nuser = "{USER}"\n')
        self.vm.set_attribute("agent-config", config)
        wait_for(lambda: self.lets_in(theirs), "the password of the metadata to be taken")
        self.assertFalse(self.lets_in(PASSWORDS[1]))
        before = self.vm.run(["cat", "/etc/agent/agent.d/90-password.toml"]).stdout
        done = self.vm.run([INSTALLED, "password", "--set"], input=PASSWORDS[0] + "\n", check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("agent-config", done.stderr)
        after = self.vm.run(["cat", "/etc/agent/agent.d/90-password.toml"]).stdout
        self.assertEqual(after, before)

    def test_a_the_console_before_and_after_a_reboot(self):
        wait_for(lambda: support.status(self.vm).returncode == 0, "the machine to be ready")
        first = self.console()
        print("\n".join(first))
        self.assertTrue(all(len(line) <= 120 and line.isprintable() for line in first))
        setup = first[: first.index(f"agent: ready at https://127.0.0.1:{PORT}/")]
        steps = sorted(line.split(": ")[1] for line in setup)
        self.assertEqual(steps, type(self).applied_at_first)
        runner = self.vm.journal("google-startup-scripts.service")
        self.assertNotRegex(runner, r"agent: \w+: applied")
        self.vm.reboot(timeout=PATIENCE)
        boot = self.vm.boot_id()
        wait_for(
            lambda: (self.vm.report() or {}).get("boot_id") == boot
            and self.vm.report()["state"] == "ready",
            "the machine to be ready again",
        )
        again = self.console()[len(first) :]
        self.assertEqual(again, [f"agent: ready at https://{self.vm.address}:{PORT}/"])

    # What the tests share

    def terminal(self, user: str, command: str) -> Terminal:
        ssh = self.vm.ssh_command(user)
        return Terminal([ssh[0], "-tt", *ssh[1:], command])

    def joined(self, text: str) -> str:
        """Commands as a shell reads them, on one line each."""
        return re.sub(r" \\\n +", " ", text)

    def set_password(self, password: str) -> None:
        done = self.vm.run([INSTALLED, "password", "--set"], input=password + "\n", check=False)
        self.assertEqual(done.returncode, 0, done)
        self.assertNotIn("argon2", done.stdout + done.stderr)

    def lets_in(self, password: str) -> bool:
        """Whether Jupyter's login form takes it."""
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            context = ssl.create_default_context(
                cadata=ssl.get_server_certificate((self.vm.address, PORT), timeout=30)
            )
            cookies = http.cookiejar.CookieJar()
            browser = urllib.request.build_opener(
                urllib.request.HTTPSHandler(context=context),
                urllib.request.HTTPCookieProcessor(cookies),
            )
            url = f"https://{self.vm.address}:{PORT}"
            browser.open(f"{url}/login", timeout=30).read()
            xsrf = next((cookie.value for cookie in cookies if cookie.name == "_xsrf"), "")
            form = urllib.parse.urlencode({"_xsrf": xsrf, "password": password}).encode()
            browser.open(f"{url}/login", form, timeout=30).read()
            return browser.open(f"{url}/api/contents", timeout=30).status == 200
        return False

    def console(self) -> list[str]:
        text = (self.vm.directory / "console.log").read_text(errors="replace")
        # systemd's own line of what it starts, which it then clears, or a login's may stand before.
        return re.findall(r"^(?:\x1b\[K|\S+ login: )*(agent: .*?)\r?$", text, re.M)


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2, failfast=True)
