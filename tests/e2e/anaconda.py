#!/usr/bin/python3
"""Proves the first recipe: config/examples/anaconda.toml from boot to Jupyter, with conda for whoever
logs in, in the face of kills in mid-install and of installers that are not what they should be; and
miniforge.toml.

Their servers are played under their own names, over TLS; the installers are tests/testbed's, around a real
Python. What pip installs is real, as far as that Python has it, and so is how conda's packages, which are
made here, are resolved and linked.
"""

import hashlib
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import unittest

import support
from support import PATIENCE, REPOSITORY, Vm, wait_for

import conda_installer  # the testbed's, as vm
from notebook_client import Jupyter

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from fault_server import Authority, FaultServer, Site  # noqa: E402

HOST = "repo.anaconda.com"
PATH = "/archive/Anaconda3-2019.10-Linux-x86_64.sh"
CHANNEL = "/test-channel"
PREFIX = "/opt/anaconda3"
USER = "anaconda"
EXAMPLES = REPOSITORY / "config/examples"
FORGE = "github.com"
FORGE_PATH = "/conda-forge/miniforge/releases/download/26.3.2-3/Miniforge3-26.3.2-3-Linux-x86_64.sh"
TOOLS = "/var/lib/agent/tools"
# The fixture's. Of the eight packages, tensorflow with keras and h2o, which are large, are left to
# python_packages.py.
DROP_IN = """
[network]
ca_certificates = "/etc/ssl/certs/ca-certificates.crt"
[python]
sha256 = "{sha256}"
packages = ["pandas", "matplotlib", "seaborn", "scikit-learn", "scikit-optimize"]
channels = ["https://{host}{channel}"]
conda_packages = ["agent-tree>=2"]
[jupyter]
password_hash = "{hash}"
"""
# The known installer's URL, for whose bytes the fixture's stand here.
FORGE_DROP_IN = """
[network]
ca_certificates = "/etc/ssl/certs/ca-certificates.crt"
[python]
installer = "https://{host}{path}"
sha256 = "{sha256}"
channels = ["https://{host}{channel}"]
conda_packages = ["agent-tree>=2"]
"""
# The recipe without what takes long: what is wrong with an installer is seen before that.
BARE = """
schema = 1
[machine]
user = "anaconda"
[python]
kind = "anaconda"
accept_terms = true
installer = "https://{host}{path}"
sha256 = "{sha256}"
"""


# Of one that is killed: what is not Python itself is not asked to work.
SMALL = BARE + """
prefix = "{prefix}"
conda_packages = ["agent-no-such-package"]
"""
SMALL_FILES = {
    "bin/python": "#!/bin/sh\nexit 1\n",
    "bin/conda": f"#!{conda_installer.PLACE}/bin/python\n",
    "conda-meta/python-3.7.4-h265db76_1.json": "{}\n",
    "conda-meta/placeholders": "bin/conda\nshare/where.txt\n",
    "share/where.txt": f"{conda_installer.PLACE}\n",
    **{f"lib/{number}.txt": f"{number}\n" for number in range(200)},
}
POINTS = "/srv/points"  # a file N there is the signal that its Nth command sends to the installer
WITH_POINTS = f"""unset LD_LIBRARY_PATH CONDARC; trap '\
commands=$((commands + 1)); if [ -e {POINTS}/$commands ]; then \
signal=$(cat {POINTS}/$commands); rm {POINTS}/$commands; kill -s $signal $$; fi' DEBUG; \
trap 'echo $commands > {POINTS}/all' EXIT
""".replace("\\\n", "")
SEED = int(os.environ.get("AGENT_TEST_SEED", random.SystemRandom().randrange(1_000_000)))


class Machine:
    """A VM that takes this one for the server of the installer, and of a channel."""

    def __init__(
        self,
        test: unittest.TestCase,
        site: Site,
        config: str | None = None,
        example: str = "",
        drop_in: str = "",
        host: str = HOST,
        path: str = PATH,
    ):
        self._directory = pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))
        self._authority = Authority(self._directory)
        self._example, self._drop_in, self._host = example, drop_in, host
        self.site = site
        self.vm = Vm(bootstrap=support.BOOTSTRAP, config=config, prepare=self._prepare)
        test.addCleanup(self.vm.stop)
        self.vm.create()
        test.addCleanup(self.vm.save_artefacts, support.artefacts("anaconda"))
        pem = self._authority.certificate(host)
        self.server = test.enterContext(
            FaultServer(pem, port=443, address=self.vm.host_address)
        )
        self.server.site(path, site)
        leaf = conda_installer.package("agent-leaf", "1.0", {"share/leaf.txt": "leaf\n"})
        tree = conda_installer.package(
            "agent-tree", "2.1", {"share/tree.txt": "tree\n"}, depends=("agent-leaf >=1",)
        )
        for name, content in conda_installer.channel([leaf, tree]).items():
            self.server.site(CHANNEL + name, Site(content))

    def _prepare(self, root: pathlib.Path) -> None:
        with open(root / "etc/hosts", "a") as hosts:
            hosts.write(f"{self.vm.host_address} {self._host}\n")
        ours = root / "usr/local/share/ca-certificates/test-authority.crt"
        ours.write_bytes(self._authority.bundle.read_bytes())
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["chroot", str(root), "update-ca-certificates"], check=True, **quiet)
        (root / "etc/agent/agent.d").mkdir(parents=True)
        if self._example:
            (root / "etc/agent/agent.toml").write_text(self._example)
        if self._drop_in:
            (root / "etc/agent/agent.d/50-test.toml").write_text(self._drop_in)

    def step(self, name: str) -> dict:
        steps = support.status_json(self.vm).get("steps", [])
        return next((one for one in steps if one["id"] == name), {})

    def as_user(self, command: list[str], **how) -> str:
        return self.vm.ssh(USER, command, timeout=PATIENCE, **how).stdout.strip()


class Recipe(unittest.TestCase):
    def test_the_example_from_boot_to_jupyter_and_conda_over_ssh(self):
        installer = conda_installer.make("Anaconda3", "2019.10").read_bytes()
        # Anaconda's notebook of 2019 would not understand another one, and `agent check` says so.
        self.password, password_hash = support.make_password("--for", "notebook-6.0")
        drop_in = DROP_IN.format(
            sha256=hashlib.sha256(installer).hexdigest(),
            hash=password_hash,
            host=HOST,
            channel=CHANNEL,
        )
        self.machine = Machine(
            self, Site(installer), example=(EXAMPLES / "anaconda.toml").read_text(), drop_in=drop_in
        )
        self.vm = self.machine.vm
        self.vm.boot()
        self.kill_the_agent_while_it_installs()
        report = self.vm.wait_settled(timeout=PATIENCE)
        print(support.status(self.vm).stdout)
        self.assertEqual(report["state"], "ready", report)
        self.check_the_prefix()
        self.check_the_shells()
        self.check_jupyter()
        self.reboot()

    def kill_the_agent_while_it_installs(self) -> None:
        there = self.vm.root / PREFIX.lstrip("/") / "bin"
        wait_for(there.exists, "the installer to unpack", every=0.02)
        process = support.property_of(self.vm, "agent.service", "MainPID")
        self.vm.run(["kill", "-9", process])
        wait_for(
            lambda: support.property_of(self.vm, "agent.service", "MainPID") not in ("0", process),
            "systemd to start the agent again",
        )

    def check_the_prefix(self) -> None:
        log = self.vm.run([support.INSTALLED, "log", "python"]).stdout
        self.assertIn("removing what an earlier installation left", log)
        self.assertIn("installation finished.", log)
        for name in ("leaf", "tree"):
            self.assertTrue((self.vm.root / f"{PREFIX}/share/{name}.txt".lstrip("/")).exists())
        owners = self.vm.run(
            ["find", PREFIX, "!", "-user", USER, "-printf", "%u %p\n", "-quit"]
        ).stdout
        self.assertEqual(owners, "")
        left = self.vm.run(["find", TOOLS, "-name", "*installer*"]).stdout
        self.assertEqual(left, "", "the installer must be gone")
        # Two requests at most a download, and no second download for the second attempt.
        self.assertLessEqual(self.machine.site.sent, 2 * len(self.machine.site.content))

    def check_the_shells(self) -> None:
        self.vm.authorize(USER)
        for command in (
            ["conda", "--version"],
            ["bash", "-lc", "conda --version"],
            ["bash", "-ic", "conda --version"],
        ):
            with self.subTest(command=command):
                self.assertTrue(self.machine.as_user(command).startswith("conda 4.7.12"))
        interactive = self.machine.as_user(["bash", "-lic", "command -v python; command -v pip"])
        self.assertEqual(interactive.split(), [f"{PREFIX}/bin/python", f"{PREFIX}/bin/pip"])
        self.assertIn("scikit-optimize", self.machine.as_user(["bash", "-ic", "pip list"]))
        said = self.machine.as_user(["agent", "shell", "--", "python", "-c", "import sys; print(sys.prefix)"])
        self.assertEqual(said, PREFIX)

    def check_jupyter(self) -> None:
        certificate = support.Certificate(self.vm)
        self.assertEqual(certificate.sha256, self.vm.report()["certificate_sha256"])
        self.assertEqual(support.get(self.vm, certificate, "/api/contents")[0], 403)
        process = support.property_of(self.vm, "agent-jupyter.service", "MainPID")
        tree = self.vm.run(["ps", "--ppid", process, "-o", "user=,args="]).stdout
        print(tree)
        self.assertTrue(tree.startswith(USER), tree)
        self.assertIn(f"{PREFIX}/bin/", tree)
        token = self.vm.run(["cat", "/var/lib/agent/front/token"]).stdout.strip()
        jupyter = Jupyter(self.vm.address, support.PORT, certificate.trusted, token)
        self.assertEqual(jupyter.log_in("not " + self.password), 401)
        self.assertEqual(jupyter.log_in(self.password), 302)
        with jupyter.kernel() as kernel:
            kernel.run("import matplotlib, pandas, seaborn, sklearn", timeout=PATIENCE)
            self.assertEqual(kernel.run("import sys; sys.prefix"), f"'{PREFIX}'")

    def reboot(self) -> None:
        places = ["/opt", f"/home/{USER}", "/etc", "/var/lib/agent"]
        sent = self.machine.site.sent
        # What the user has changed since is his.
        self.machine.as_user(["sh", "-c", "echo 'export MINE=1' >> ~/.bashrc"])
        before = support.manifest(self.vm, places)
        self.vm.reboot(timeout=PATIENCE)
        report = self.vm.wait_settled(timeout=PATIENCE)
        self.assertEqual(report["state"], "ready", report)
        states = support.step_states(self.vm)
        for step in ("python", "conda_packages", "shell_setup", "python_packages"):
            self.assertEqual(states[step], "satisfied", states)
        changed = support.changes(before, support.manifest(self.vm, places))
        # What a boot itself and Jupyter's start write.
        ours = [one for one in changed if one.startswith("/opt") or "bashrc" in one]
        self.assertEqual([one for one in ours if "__pycache__" not in one], [])
        self.assertEqual(self.machine.site.sent, sent)


class Miniforge(unittest.TestCase):
    def test_the_example_from_boot_to_jupyterlab(self):
        newer = ("3.12", "3.11", "3.10", "3.9")
        installer = conda_installer.make("Miniforge3", "26.3.2-3", newer, "26.3.2").read_bytes()
        drop_in = FORGE_DROP_IN.format(
            sha256=hashlib.sha256(installer).hexdigest(), host=FORGE, path=FORGE_PATH, channel=CHANNEL
        )
        example = (EXAMPLES / "miniforge.toml").read_text()
        machine = Machine(
            self, Site(installer), example=example, drop_in=drop_in, host=FORGE, path=FORGE_PATH
        )
        machine.vm.boot()
        report = machine.vm.wait_settled(timeout=PATIENCE)
        print(support.status(machine.vm).stdout)
        self.assertEqual(report["state"], "ready", report)
        self.assertIn("conda 26.3.2", machine.step("python")["reason"])
        self.assertTrue((machine.vm.root / "opt/miniforge3/share/leaf.txt").exists())
        machine.vm.authorize("jupyter")
        said = machine.vm.ssh("jupyter", ["conda", "--version"], timeout=PATIENCE).stdout
        self.assertEqual(said, "conda 26.3.2\n")


class WrongInstallers(unittest.TestCase):
    """Each is refused in a sentence of its own, and nothing of it is executed."""

    def test_what_is_no_installer_is_not_run(self):
        canary = b"#!/bin/sh\ntouch /tmp/executed\n" + b"# padding\n" * 20_000
        right = hashlib.sha256(b"right" + canary).hexdigest()
        config = BARE.format(host=HOST, path=PATH, sha256=right)
        self.machine = Machine(self, Site(canary), config)
        vm = self.machine.vm
        vm.boot()
        self.refused("wrong bytes", "expected sha256 " + right)
        self.evidence(canary)

        page = b"<!DOCTYPE html><html>please log in</html>"
        self.serve(Site(page, content_type="text/html"))
        self.refused("a page", "HTML")
        self.evidence(page)

        self.serve(Site(canary, refusals=[(404, {})] * 100))
        self.refused("404", "404")

        self.serve(Site(canary, length="longer"))
        self.refused("truncated", "expected sha256 ", " bytes")

        vm.run(["mkdir", "-p", f"{PREFIX}2"])
        vm.run(["touch", f"{PREFIX}2/precious"])
        vm.set_attribute("agent-config", f'{config}prefix = "{PREFIX}2"\n')
        self.refused("a prefix that is taken", f"{PREFIX}2 exists and was not made by this agent")
        self.assertEqual(vm.run(["ls", f"{PREFIX}2"]).stdout, "precious\n")

    def serve(self, site: Site) -> None:
        """In the place of what was served; the machine is asked to try again."""
        for name in vars(site):
            setattr(self.machine.site, name, getattr(site, name))
        self.machine.vm.run([support.INSTALLED, "retry", "python"], check=False)

    def refused(self, what: str, *words: str) -> None:
        def error() -> str | None:
            said = self.machine.step("python").get("error") or ""
            return said if all(word in said for word in words) else None

        print(f"{what}: {wait_for(error, f'{what} to be refused with {words}')}")
        vm = self.machine.vm
        self.assertEqual(vm.run(["ls", "/tmp/executed"], check=False).returncode, 2)
        left = vm.run(["sh", "-c", f"ls -A {PREFIX} 2>/dev/null"], check=False).stdout
        self.assertEqual(left, "")

    def evidence(self, content: bytes) -> None:
        found = self.machine.vm.run(["find", TOOLS, "-name", "*.rejected"]).stdout.split()
        self.assertEqual(len(found), 1, found)
        kept = (self.machine.vm.root / found[0].lstrip("/")).read_bytes()
        self.assertEqual(kept, content)


class KilledInstaller(unittest.TestCase):
    """Wherever its installer is cut short, itself or with the agent, the prefix becomes whole."""

    def test_an_installer_that_is_cut_short_at_any_command(self):
        installer = small_installer()
        self.sha256 = hashlib.sha256(installer).hexdigest()
        self.machine = Machine(self, Site(installer), self.config("whole"))
        self.vm = self.machine.vm
        self.points = self.vm.root / POINTS.lstrip("/")
        self.points.mkdir()
        self.points.chmod(0o777)
        self.vm.boot()
        self.converged("whole", PATIENCE)
        whole = self.tree("whole")
        commands = int((self.points / "all").read_text())
        chance = random.Random(SEED)
        sample = chance.sample(range(1, commands + 1), 5)
        print(f"cut short at {sample} of {commands} commands, seed {SEED}")
        self.assertGreater(commands, 20)
        for number, point in enumerate(sample):
            how = ("KILL", "STOP")[number % 2]
            with self.subTest(point=point, how=how):
                self.cut_short(point, how)
                self.assertEqual(self.tree(point), whole)

    def cut_short(self, point: int, how: str) -> None:
        (self.points / str(point)).write_text(how)
        agent = support.property_of(self.vm, "agent.service", "MainPID")
        self.vm.set_attribute("agent-config", self.config(point))
        at_it = self.points / str(point)
        wait_for(lambda: not at_it.exists(), f"command {point}", every=0.02)
        if how == "STOP":
            self.vm.run(["kill", "-9", agent])
        self.converged(point)
        if how == "KILL":
            self.assertIn("killed by SIGKILL", self.vm.journal())
        # Nothing of it is at work, or lies about.
        left = self.vm.run(["pgrep", "-u", USER, "-f", "installer-"], check=False).stdout
        self.assertEqual(left, "")
        self.assertEqual(self.vm.run(["find", TOOLS, "-name", "*installer*"]).stdout, "")

    def config(self, name: str | int) -> str:
        return SMALL.format(host=HOST, path=PATH, sha256=self.sha256, prefix=f"{PREFIX}-{name}")

    def converged(self, name: str | int, patience: float = 60) -> None:
        mark = self.vm.root / f"opt/.anaconda3-{name}.agent"
        wait_for(
            lambda: mark.exists() and self.sha256 in mark.read_text(),
            f"{PREFIX}-{name} to be whole",
            patience,
        )

    def tree(self, name: str | int) -> dict[str, tuple[int, str]]:
        prefix = f"{PREFIX}-{name}"
        root = self.vm.root / prefix.lstrip("/")
        files = [path for path in root.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(root)): (
                path.stat().st_mode, path.read_text().replace(prefix, PREFIX)
            )
            for path in files
        }


def small_installer() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in SMALL_FILES.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), 0o755 if path.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    script = conda_installer.script("Anaconda3", "2019.10", packed.getvalue(), 1000)
    plain = b"unset LD_LIBRARY_PATH CONDARC\n"  # one line for one: its lines are counted
    assert plain in script
    return script.replace(plain, WITH_POINTS.encode(), 1)


class Examples(unittest.TestCase):
    def test_each_example_is_a_right_configuration(self):
        examples = sorted(EXAMPLES.glob("*.toml"))
        self.assertGreaterEqual(len(examples), 3)
        done = subprocess.run(
            [support.AGENT, "check", "--json", *examples], check=True, stdout=subprocess.PIPE, text=True
        )
        for one in json.loads(done.stdout):
            self.assertTrue(one["valid"], one)
            self.assertEqual(one["diagnostics"], [], one)


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
