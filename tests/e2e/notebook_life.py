#!/usr/bin/python3
"""Proves what a notebook may and may not do, through real kernels and terminals behind the front.

The machine's user is one as Google's guest agent makes them: he may use sudo and docker and read
the logs, over ssh. The tests run in the order of their numbers, on one VM.
"""

import contextlib
import json
import subprocess
import sys
import unittest

import support
from support import INSTALLED, PATIENCE, PORT, Vm, wait_for

from notebook_client import CellFailed, Jupyter, KernelDied  # the testbed's, as vm

USER = "admin"
UNIT = "agent-jupyter.service"
SECRETS = ["/var/lib/agent/front/token", "/etc/agent/jupyter.json", "/var/lib/agent/front/tls.pem"]
PACKAGES = ["jupyterlab", "numpy", "numba", "matplotlib"]
# What opens a Jupyter that reads it, wherever it may be written.
OPEN = {
    "ServerApp": {
        **{"token": "", "password": "", "allow_unauthenticated_access": True, "sock": ""},
        **{"disable_check_xsrf": True, "allow_origin": "*", "ip": "0.0.0.0"},
    },
    "IdentityProvider": {"token": ""},
    "PasswordIdentityProvider": {"token": "", "hashed_password": "", "password_required": False},
}
OPEN_BY_CODE = """
from jupyter_server.auth import identity
async def anybody(self, handler):
    return identity.User("anybody")
identity.IdentityProvider.get_user = anybody
"""

NUMBA = """
import numba, numpy
@numba.njit(parallel=True)
def squares(n):
    total = 0.0
    for i in numba.prange(n):
        total += i * i
    return total
squares(1000), float(numpy.linalg.norm(numpy.eye(4)))
"""
MULTIPROCESSING = """
import multiprocessing, os, threading
from multiprocessing import shared_memory
def fill(name):
    memory = shared_memory.SharedMemory(name)
    memory.buf[0] = 42
    memory.close()
    return os.getpid()
memory = shared_memory.SharedMemory(create=True, size=1 << 20)
with multiprocessing.get_context("fork").Pool(2) as pool:
    other = pool.map(fill, [memory.name])[0]
found = memory.buf[0]
memory.close(); memory.unlink()
thread = threading.Thread(target=os.sched_setaffinity, args=(0, os.sched_getaffinity(0)))
thread.start(); thread.join(); os.nice(1)
found, other != os.getpid()
"""
PLOT = """
import io, matplotlib.pyplot as plt
plt.plot([1, 4, 9]); plt.savefig(picture := io.BytesIO())
picture.getvalue()[:4]
"""
# A debugger's way into a process of its own user.
PTRACE = """
import ctypes, os, signal, subprocess
libc = ctypes.CDLL(None, use_errno=True)
child = subprocess.Popen(["sleep", "60"])
attached = libc.ptrace(16, child.pid, None, None), ctypes.get_errno()
os.waitpid(child.pid, 0)
child.kill()
attached
"""
WRITE = """
import pathlib
def may_write(directory):
    try:
        (pathlib.Path(directory) / "of-a-notebook").write_text("x")
        return True
    except OSError:
        return False
[may_write(place) for place in {places!r}]
"""
# Asks a kernel to execute something, without the key that its connection file holds.
FORGE = """
import sys, zmq
from jupyter_client.session import Session
shell = zmq.Context().socket(zmq.DEALER)
shell.connect(f"tcp://127.0.0.1:{sys.argv[1]}")
content = {"code": "forged = True", "silent": False, "store_history": False,
           "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
Session(key=b"of somebody else").send(shell, "execute_request", content)
assert not shell.poll(3000), "it was answered"
"""
# The socket of a docker, as its package makes it: root's, for the group docker.
DOCKER = """
import grp, os, socket
if os.path.exists("/run/docker.sock"):
    os.unlink("/run/docker.sock")
server = socket.socket(socket.AF_UNIX)
os.umask(0o117)
server.bind("/run/docker.sock")
os.chown("/run/docker.sock", 0, grp.getgrnam("docker").gr_gid)
server.listen()
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK")
    connection.close()
"""
ASK_DOCKER = "curl --silent --max-time 10 --unix-socket /run/docker.sock http://docker/_ping"


def add_groups(root) -> None:
    for group in ("docker", "lxd"):
        subprocess.run(["chroot", root, "groupadd", "--system", group], check=True)
    subprocess.run(["chroot", root, "usermod", "-aG", "docker,lxd", USER], check=True)


class NotebookLife(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = support.artefacts("notebook_life")
        cls.password, cls.hash = support.make_password()
        cls.vm = Vm(
            bootstrap=support.BOOTSTRAP, config=cls.config(), prepare=add_groups, artefacts=cls.kept
        )
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.addClassCleanup(cls.vm.save_artefacts, cls.kept)
        report = cls.vm.wait_settled(timeout=PATIENCE)
        assert report["state"] == "ready", report
        cls.certificate = support.Certificate(cls.vm)
        token = cls.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
        cls.jupyter = Jupyter(cls.vm.address, PORT, cls.certificate.trusted, token)

    @classmethod
    def config(cls, more: str = "") -> str:
        machine = f'[machine]\nuser = "{USER}"\n'
        return support.config(PACKAGES, cls.hash, machine) + more

    def test_01_who_gets_in(self):
        self.assertEqual(self.get_as_stranger(), 403)
        self.assertEqual(self.jupyter.log_in("not " + self.password), 401)
        self.assertEqual(self.jupyter.log_in(self.password), 302)
        self.assertEqual(self.jupyter.request("GET", "/api/contents")[0], 200)

    def test_02_nothing_of_jupyter_listens_to_others(self):
        with self.jupyter.kernel() as kernel:
            kernel.run("1")
            for line in self.listeners():
                self.assertTrue(line.split()[3].startswith("127.0.0.1:"), line)
            file = f"/home/{USER}/.local/share/jupyter/runtime/kernel-{kernel.id}.json"
            self.assertEqual(self.vm.run(["stat", "--format=%a", file]).stdout.strip(), "600")
            port = json.loads(self.vm.run(["cat", file]).stdout)["shell_port"]
            self.assertIn("kernel-", kernel.run("%connect_info"))
            with self.subTest("a client like qtconsole"):
                self.vm.ssh(USER, ["sh", "-c", "echo 'print(6 * 7)' > /tmp/cell.py"])
                run = ["/opt/jupyter/bin/jupyter-run", "--existing", file, "/tmp/cell.py"]
                self.assertIn("42", self.vm.ssh(USER, run).stdout)
            with self.subTest("whoever has not the key makes it do nothing"):
                forge = ["/opt/jupyter/bin/python", "-c", FORGE, str(port)]
                self.vm.ssh("someone", forge)
                self.assertEqual(kernel.run("'forged' in globals()"), "False")

    def test_03_what_the_user_may_do_over_ssh_a_notebook_may_not(self):
        self.start_docker()
        forbidden = {
            "sudo": "sudo -n true",
            "docker": ASK_DOCKER,
            "a step's log": "cat /var/log/agent/python_packages.log",
            "syslog": "cat /var/log/syslog",
            "the journal": "journalctl --no-pager -n 1 _COMM=systemd | grep -v '^-- No entries'",
        }
        for what, line in forbidden.items():
            with self.subTest(f"over ssh: {what}"):
                self.vm.ssh(USER, ["sh", "-c", line])
        forbidden["his service manager"] = "ls /run/user/1000"
        forbidden["the daemon's secrets"] = "cat /var/lib/agent/front/token"
        with self.jupyter.terminal() as terminal:
            for what, line in forbidden.items():
                with self.subTest(what):
                    status, said = terminal.run(line)
                    print(f"{what}: {status} {said}")
                    self.assertNotEqual(status, 0)
            _, said = terminal.run("id -nG; grep -E '^(NoNewPrivs|CapEff)' /proc/self/status")
            print(said)
            groups = said.splitlines()[0].split()
            self.assertFalse({"adm", "docker", "lxd", "google-sudoers"} & set(groups))
            self.assertLessEqual({USER, "video", "plugdev"}, set(groups))
            self.assertIn("NoNewPrivs:\t1", said)
            self.assertIn("CapEff:\t0000000000000000", said)

    def test_04_what_notebooks_compute(self):
        with self.jupyter.kernel() as kernel:
            self.assertEqual(kernel.run(NUMBA, PATIENCE), "(332833500.0, 2.0)")
            self.assertEqual(kernel.run(MULTIPROCESSING), "(42, True)")
            self.assertEqual(kernel.run(PLOT, PATIENCE), "b'\\x89PNG'")
            self.assertEqual(kernel.run(PTRACE), "(0, 0)")
            self.assertIn("ipykernel_launcher", kernel.run("!ps -fwwu $USER"))

    def test_05_what_notebooks_install(self):
        with self.jupyter.kernel() as kernel:
            kernel.run("%pip install iniconfig", PATIENCE)
            where = kernel.run("import iniconfig; iniconfig.__file__")
            self.assertIn("/opt/jupyter/lib", where)
        with self.jupyter.terminal() as terminal:
            self.succeed(terminal, "pip install tomli-w && python -c 'import tomli_w'")
            self.succeed(
                terminal,
                "pip --python /usr/bin/python3 install --user --break-system-packages zipp"
                " && /usr/bin/python3 -c 'import zipp; print(zipp.__file__)' | grep ^$HOME/.local",
            )

    def test_06_what_notebooks_reach(self):
        self.vm.run(["install", "-d", "-o", USER, "/mnt/data"])
        self.vm.run(["install", "-d", "-o", USER, "/mnt/late"])
        self.vm.run(["mount", "-t", "tmpfs", "-o", "mode=777", "late", "/mnt/late"])
        self.vm.run(["sh", "-c", "echo of a bucket > /mnt/late/file"])
        # The numbers of a device that is there: what counts is that it may be opened.
        self.vm.run(["mknod", "-m", "666", "/dev/nvidia0", "c", "1", "3"])
        self.vm.run(["git", "init", "-q", "--bare", "/srv/work.git"])
        self.vm.run(["chown", "-R", "someone", "/srv/work.git"])
        with self.jupyter.kernel() as kernel:
            self.assertIn("of a bucket", kernel.run("!cat /mnt/late/file"))
            self.assertIn("1", kernel.run("open('/dev/nvidia0', 'r+b', buffering=0).write(b'x')"))
            mine = [f"/home/{USER}", "/opt/jupyter", "/mnt/data", "/mnt/late", "/tmp", "/dev/shm"]
            others = ["/etc", "/usr/local/bin", "/home/someone", "/var/lib/agent", "/run/agent"]
            may_write = kernel.run(WRITE.format(places=mine + others))
            self.assertEqual(may_write, str([True] * len(mine) + [False] * len(others)))
            self.assertIn("ready", kernel.run(f"!{INSTALLED} status"))
        with self.jupyter.terminal() as terminal:
            self.succeed(terminal, "ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519 <<< y")
            key = self.vm.run(["cat", f"/home/{USER}/.ssh/id_ed25519.pub"]).stdout
            self.vm.run(["sh", "-c", "cat >> /home/someone/.ssh/authorized_keys"], input=key)
            accept = "GIT_SSH_COMMAND='ssh -o StrictHostKeyChecking=accept-new'"
            self.succeed(terminal, f"{accept} git clone someone@127.0.0.1:/srv/work.git work")
            said = self.succeed(terminal, "pwd; stty size").split()
            self.assertEqual(said, [f"/home/{USER}", "50", "200"])

    def test_07_what_a_kernel_is_told(self):
        secrets = self.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.split() + [self.hash]
        with self.jupyter.kernel() as kernel:
            found = json.loads(kernel.run("import json, os; print(json.dumps(dict(os.environ)))"))
        told = json.dumps(found)
        print(sorted(found))
        self.assertFalse([secret for secret in secrets if secret in told])
        for name in found:
            self.assertNotRegex(name, "^(NOTIFY|WATCHDOG|CREDENTIALS|LISTEN|INVOCATION)_")
        self.assertEqual(found["HOME"], f"/home/{USER}")

    def test_08_a_kernel_that_dies_takes_nothing_with_it(self):
        process = self.main_process()
        with self.jupyter.kernel() as dying, self.jupyter.kernel() as other:
            other.run("kept = 1")
            victim = int(dying.run("import os; os.getpid()"))
            # As the kernel's out-of-memory killer does it.
            self.vm.run(["kill", "-KILL", str(victim)])
            with self.assertRaises(KernelDied):
                dying.wait("nothing")
            self.assertEqual(other.run("kept"), "1")
            wait_for(lambda: self.says(dying, "2 + 2") == "4", "the kernel to come back")
            sleeping = other.start("import time; open('/tmp/asleep', 'w'); time.sleep(600)")
            asleep = ["test", "-e", "/tmp/asleep"]
            wait_for(lambda: self.vm.run(asleep, check=False).returncode == 0, "a busy kernel")
            other.interrupt()
            with self.assertRaisesRegex(CellFailed, "KeyboardInterrupt"):
                other.wait(sleeping)
            other.restart()
            with self.assertRaisesRegex(CellFailed, "NameError"):
                other.run("kept", PATIENCE)
        self.assertEqual(self.main_process(), process)
        self.assertEqual(support.property_of(self.vm, UNIT, "ActiveState"), "active")

    def test_09_a_restart_leaves_nothing_behind(self):
        with self.jupyter.terminal() as terminal:
            self.succeed(terminal, "nohup setsid sleep 7654 > /dev/null 2>&1 & sleep .1")
        self.vm.run(["pgrep", "-f", "sleep 7654"])
        self.restart_jupyter()
        self.assertNotEqual(self.vm.run(["pgrep", "-f", "sleep 7654"], check=False).returncode, 0)

    def test_10_what_the_user_writes_into_jupyters_configuration(self):
        place = self.vm.root / "home" / USER / ".jupyter"
        place.mkdir(exist_ok=True)
        drop_in = self.vm.root / "etc/systemd/system/agent-jupyter.service.d/90-hostile.conf"
        environment = "JUPYTER_TOKEN= JUPYTER_CONFIG_DIR=/tmp/hostile"
        drop_in.write_text(f"[Service]\nEnvironment={environment}\n")
        for name in ("jupyter_config", "jupyter_server_config", "jupyter_lab_config"):
            (place / f"{name}.json").write_text(json.dumps(OPEN))
        (place / "jupyter_server_config.py").write_text(OPEN_BY_CODE)
        self.vm.run(["systemctl", "daemon-reload"])
        self.restart_jupyter()
        self.assertEqual(self.get_as_stranger(), 403)
        self.assertEqual(self.jupyter.log_in(""), 401)
        self.assertEqual(self.listeners(), [])
        # Code that runs inside Jupyter can open it; what is open is not served.
        (place / "jupyter_config.py").write_text(OPEN_BY_CODE)
        self.vm.run(["systemctl", "restart", "--no-block", UNIT])
        wait_for(lambda: "gives its files to anybody" in self.vm.journal(UNIT), "the refusal")
        self.assertEqual(self.get_as_stranger(), 503)
        for path in place.iterdir():
            path.unlink()
        drop_in.unlink()
        self.vm.run(["systemctl", "daemon-reload"])
        self.restart_jupyter()
        self.assertEqual(self.jupyter.request("GET", "/api/contents")[0], 200)

    def test_11_the_daemon(self):
        shown = self.vm.run(["systemctl", "show", "agent.service"]).stdout.splitlines()
        about = dict(line.split("=", 1) for line in shown if "=" in line)
        self.assertEqual(about["KillMode"], "mixed")
        self.assertEqual(about["UMask"], "0022")
        self.assertEqual(about["TimeoutStartUSec"], "1min")
        self.assertEqual(about["NotifyAccess"], "main")
        environment = self.vm.run(["cat", f"/proc/{about['MainPID']}/environ"]).stdout.split("\0")
        path = [entry for entry in environment if entry.startswith("PATH=")]
        self.assertEqual(
            path, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        )
        sockets = self.vm.run(["ss", "-Hltnup"]).stdout
        self.assertNotIn(f"pid={about['MainPID']},", sockets)
        # No policy and no service of ours on D-Bus.
        ours = ["grep", "-rlE", "agent run|agent-jupyter|agent-front"]
        said = self.vm.run([*ours, "/etc/dbus-1", "/usr/share/dbus-1"], check=False).stdout
        self.assertEqual(said, "")

    def test_12_sudo_where_it_is_asked_for(self):
        self.converge(self.config("allow_sudo = true\n"))
        with self.jupyter.terminal() as terminal:
            self.succeed(terminal, "sudo -n true")
            self.succeed(terminal, "sudo apt-get -q update && sudo apt-get install -qy tree")
            self.succeed(terminal, "tree --version")
            self.succeed(terminal, ASK_DOCKER)
            self.succeed(terminal, "sudo systemctl is-active agent && journalctl -n 1 -u agent")
            self.succeed(terminal, "cat /var/log/agent/python_packages.log | head -n 1")
        self.assertEqual(self.get_as_stranger(), 403)
        self.converge(self.config())
        with self.jupyter.terminal() as terminal:
            for line in ("sudo -n true", ASK_DOCKER, "cat /var/log/syslog"):
                self.assertNotEqual(terminal.run(line)[0], 0, line)

    def test_13_without_a_password_the_port_is_the_machines_own(self):
        without = self.config().replace(f'password_hash = "{self.hash}"\n', "")
        self.converge(without)
        self.assertFalse(support.accepts(self.vm))
        listeners = self.vm.run(["ss", "-Hltn", f"sport = :{PORT}"]).stdout.splitlines()
        self.assertEqual([line.split()[3] for line in listeners], [f"127.0.0.1:{PORT}"])

    # What is asked more than once

    def get_as_stranger(self) -> int:
        return support.get(self.vm, self.certificate, "/api/contents")[0]

    def main_process(self) -> str:
        return support.property_of(self.vm, UNIT, "MainPID")

    def listeners(self) -> list[str]:
        """The TCP sockets on which anything of the unit's listens, as ss shows them."""
        group = support.property_of(self.vm, UNIT, "ControlGroup")
        show = ["systemd-cgls", "--full", "--no-pager", "--unit", UNIT]
        words = self.vm.run(show).stdout.replace("─", " ").split()
        processes = {word for word in words if word.isdigit()}
        self.assertIn(self.main_process(), processes, group)
        lines = self.vm.run(["ss", "-Hltnp"]).stdout.splitlines()
        return [line for line in lines if any(f"pid={number}," in line for number in processes)]

    def succeed(self, terminal, line: str) -> str:
        status, said = terminal.run(line, PATIENCE)
        self.assertEqual(status, 0, f"{line}: {said}")
        return said

    def says(self, kernel, code: str) -> str | None:
        with contextlib.suppress(KernelDied, TimeoutError):
            return kernel.run(code, timeout=5)  # what comes while it starts is forgotten
        return None

    def start_docker(self) -> None:
        """After Jupyter: it must not matter when docker comes."""
        self.vm.run(["systemd-run", "--unit=docker-stand-in", "python3", "-c", DOCKER])
        ask = ["sh", "-c", ASK_DOCKER]
        wait_for(lambda: self.vm.run(ask, check=False).returncode == 0, "docker")

    def restart_jupyter(self) -> None:
        self.vm.run(["systemctl", "restart", UNIT], timeout=PATIENCE)
        self.await_jupyter()

    def await_jupyter(self) -> None:
        wait_for(
            lambda: self.jupyter.request("GET", "/api/status")[0] == 200, "Jupyter behind the front"
        )

    def converge(self, config: str) -> None:
        """Until another Jupyter than now is up and the machine is ready."""
        before = self.main_process()
        self.vm.set_attribute("agent-config", config)
        wait_for(lambda: self.main_process() not in (before, "0"), "another Jupyter")
        wait_for(lambda: support.status_json(self.vm)["state"] == "ready", "a ready machine")


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
