#!/usr/bin/python3
"""Proves that a VM whose only way out is a company's proxy, which signs with a CA of its own, becomes
ready with [network] alone, with a venv over an https:// proxy and with conda over an http:// one, and lists
of packages from a bucket with both; and that a port that another program holds is said and taken once free.
"""

import hashlib
import json
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

import buckets  # the testbed's

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import conda_installer  # noqa: E402  (the testbed's)
from fault_server import Authority, FaultServer, Site  # noqa: E402
from proxy import PORT as PROXY_PORT  # noqa: E402
from proxy import Proxy  # noqa: E402
from support import PATIENCE, Vm, wait_for  # noqa: E402

COMPANY_CA = "/etc/company.pem"
FILES = "files.example.com"  # which the proxy alone can find
NAME = "proxy.example.com"
NETWORK = f"""
[network]
proxy = "{{scheme}}://{NAME}:{PROXY_PORT}"
no_proxy = ["intranet.example.com"]
ca_certificates = "{COMPANY_CA}"
"""
MINIFORGE = """
kind = "miniforge"
installer = "https://{host}:{port}/Miniforge3-26.3.2-3-Linux-x86_64.sh"
sha256 = "{sha256}"
channels = ["https://{host}:{port}/channel"]
conda_packages = ["agent-leaf"]
environment_file = "gs://{bucket}/environment.yml"
"""
BUCKET = "company-lists"
LISTED = "iniconfig==2.0.0"
EMAIL = "vm-reader@example-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
IN_THE_WAY = """
[Service]
ExecStart=/usr/bin/python3 -m http.server 8888
"""
# As the user, with what Jupyter has in its environment: what a notebook's `!pip` does.
AS_A_NOTEBOOK = """
import os, subprocess, sys
of_jupyter = open(f"/proc/{sys.argv[1]}/environ", "rb").read()
variables = dict(entry.split(b"=", 1) for entry in of_jupyter.split(b"\\0") if b"=" in entry)
pip = ["/opt/jupyter/bin/python", "-m", "pip", "download", "--no-deps", "--dest=/tmp/fetched", "six"]
done = subprocess.run(pip, env=variables, user="jupyter", group="jupyter", extra_groups=[])
sys.exit(done.returncode)
"""


def network(scheme: str) -> str:
    return NETWORK.format(scheme=scheme)


class CompanyNetwork(unittest.TestCase):
    def test_a_vm_behind_a_company_proxy(self):
        with tempfile.TemporaryDirectory() as directory:
            token = "ya29." + secrets.token_urlsafe(48)
            self.vm = Vm(
                bootstrap=support.BOOTSTRAP,
                config=self.config("https"),
                metadata=support.service_account(EMAIL, SCOPE, token),
                prepare=self.make_it_a_company_machine,
            )
            self.addCleanup(self.vm.stop)
            self.vm.create()
            self.addCleanup(self.vm.save_artefacts, support.artefacts("network"))
            authority = Authority(pathlib.Path(directory), "files-authority")
            self.server = FaultServer(authority.certificate(FILES))
            self.storage = buckets.Buckets(
                pathlib.Path(directory), authority.certificate(buckets.HOST), "127.0.0.1"
            )
            names = {FILES: "127.0.0.1", buckets.HOST: "127.0.0.1"}
            trusted = authority.bundle.read_text()
            with (
                self.server,
                self.storage,
                Proxy(pathlib.Path(directory), self.vm.host_address, NAME, names, trusted) as proxy,
            ):
                self.storage.rules(
                    tokens={token: {"email": EMAIL, "scopes": SCOPE}}, readers={BUCKET: [EMAIL]}
                )
                self.storage.put(BUCKET, "requirements.txt", LISTED + "\n")
                shutil.copyfile(proxy.ca, self.vm.root / COMPANY_CA.lstrip("/"))
                self.vm.cut_off()
                self.vm.boot()
                self.check(proxy)

    def config(self, scheme: str) -> str:
        text = support.config([], support.make_password()[1], network(scheme))
        return text.replace("packages = []", f'requirements = "gs://{BUCKET}/requirements.txt"')

    def make_it_a_company_machine(self, root: pathlib.Path) -> None:
        """It trusts no CA but the public ones, and something else is served on Jupyter's port."""
        with open(root / "etc/hosts", "a") as hosts:
            hosts.write(f"{self.vm.host_address} {NAME}\n")
        for certificate in (root / "usr/local/share/ca-certificates").glob("machine-*.crt"):
            certificate.unlink()
        subprocess.run(
            ["chroot", str(root), "update-ca-certificates", "--fresh"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pip = root / "etc/pip.conf"
        pip.write_text(re.sub(r"^cert = .*\n", "", pip.read_text(), flags=re.M))
        units = root / "etc/systemd/system"
        (units / "in-the-way.service").write_text(IN_THE_WAY)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "in-the-way.service").symlink_to("../in-the-way.service")

    def check(self, proxy: Proxy) -> None:
        self.assertEqual(self.curl("-x", proxy.url), 60, "the proxy's CA must not be trusted yet")
        self.assertIn(self.curl(), (6, 7, 28), "there must be no way but the proxy's")
        proxy.hosts.clear()

        who = self.vm.run(["systemctl", "show", "-P", "MainPID", "in-the-way"]).stdout.strip()
        told = wait_for(lambda: self.reason_of("front"), "the front to wait for its port")
        print(told)
        self.assertIn(f"port 8888 is taken by python3 (process {who})", told)
        self.vm.run(["systemctl", "stop", "in-the-way"])

        report = self.vm.wait_settled(timeout=PATIENCE)
        self.assertEqual(report["state"], "ready", report)
        print(f"through the proxy: {len(proxy.hosts)} hosts")
        self.assertGreaterEqual(len(proxy.hosts), 2)  # the archive's and the index's
        self.assertEqual(proxy.hosts_over_tls, proxy.hosts)
        for name in ("169.254.169.254", "metadata.google.internal", "metadata", "localhost"):
            self.assertNotIn(name, proxy.hosts)

        self.assertIn(buckets.HOST, proxy.hosts_over_tls)
        self.assertEqual({one["who"] for one in self.storage.requests()}, {EMAIL})
        there = self.vm.run(["agent", "shell", "--", "python", "-m", "pip", "list", "--format=freeze"])
        self.assertIn(LISTED, there.stdout.split())

        self.check_the_worker_that_downloads(proxy)
        itself = "^/opt/jupyter/bin/python[^ ]* /opt/jupyter/bin/jupyter-lab"
        before = self.vm.run(["pgrep", "-u", "jupyter", "-f", itself]).stdout.split()
        self.vm.run(["python3", "-c", AS_A_NOTEBOOK, before[0]], timeout=PATIENCE)
        fetch = ["python", "-m", "pip", "download", "--no-deps", "--dest=/tmp/by-shell", "six"]
        self.vm.run(["agent", "shell", "--", *fetch], timeout=PATIENCE)
        # On our own command lines alone: apt, pip and logins of the machine are as they were.
        told = self.vm.run(
            ["grep", "-rl", NAME, "/etc/apt", "/etc/pip.conf", "/etc/environment", "/etc/profile.d"],
            check=False,
        )
        self.assertEqual(told.stdout, "")
        with self.subTest("with conda"):
            self.check_conda()

    def check_conda(self) -> None:
        """Its installer, its packages, and what pip puts into its prefix."""
        newer = ("3.12", "3.11", "3.10", "3.9")
        installer = conda_installer.make("Miniforge3", "26.3.2-3", newer, "26.3.2").read_bytes()
        self.server.site("/Miniforge3-26.3.2-3-Linux-x86_64.sh", Site(installer))
        packages = [
            conda_installer.package(f"agent-{name}", "1.0", {f"share/{name}.txt": f"{name}\n"})
            for name in ("leaf", "twig")
        ]
        for name, content in conda_installer.channel(packages).items():
            self.server.site("/channel" + name, Site(content))
        listed = f"channels:\n  - https://{FILES}:{self.server.port}/channel\n"
        listed += "dependencies:\n  - agent-twig\n"
        self.storage.put(BUCKET, "environment.yml", listed)
        python = MINIFORGE.format(
            **{"host": FILES, "port": self.server.port, "bucket": BUCKET},
            sha256=hashlib.sha256(installer).hexdigest(),
        )
        before = support.status_json(self.vm)["config_sha256"]
        self.vm.set_attribute(
            "agent-config", self.config("http").replace('\nkind = "venv"\n', python)
        )

        def settled() -> dict | None:
            status = support.status_json(self.vm)
            is_other = status.get("config_sha256") not in (before, None)
            return status if is_other and status["state"] in ("ready", "failed") else None

        status = wait_for(settled, "conda behind the proxy", PATIENCE, 0.5)
        self.assertEqual(status["state"], "ready", status["problem"])
        share = self.vm.root / "opt/miniforge3/share"
        self.assertTrue((share / "leaf.txt").exists())
        self.assertTrue((share / "twig.txt").exists())

    def check_the_worker_that_downloads(self, proxy: Proxy) -> None:
        """Over several connections at once, and only with the company's CA."""
        site = self.server.site("/large", Site(bytes(range(256)) * 12_000))
        order = {
            "url": f"https://{FILES}:{self.server.port}/large",
            "sha256": site.sha256,
            "directory": "/tmp/worker",
            "no_proxy": ["intranet.example.com"],
            "ca_certificates": COMPANY_CA,
            "parallel_from": 1_000_000,
            "chunk": 500_000,
        }
        self.vm.run(["install", "-d", "-o", "nobody", "-g", "nogroup", "/tmp/worker"])
        for scheme in ("http", "https"):
            order |= {"name": scheme, "proxy": f"{scheme}://{NAME}:{PROXY_PORT}"}
            self.assertIn('"ok":true', self.fetch(order))
            self.assertIn(FILES, proxy.hosts_over_tls if scheme == "https" else proxy.hosts)
            fetched = self.vm.run(["sha256sum", f"/tmp/worker/{scheme}"]).stdout.split()[0]
            self.assertEqual(fetched, site.sha256)
            told = self.fetch(order | {"name": "other", "ca_certificates": ""})
            self.assertIn("certificate", told)
            self.assertNotIn('"ok":true', told)

    def fetch(self, order: dict) -> str:
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        worker = [*as_nobody, support.INSTALLED, "worker", "fetch"]
        done = self.vm.run(worker, input=json.dumps(order), timeout=PATIENCE, check=False)
        return done.stdout + done.stderr

    def curl(self, *options: str) -> int:
        command = ["curl", "-sS", "-m", "5", *options, "https://index.example.com/"]
        return self.vm.run(command, check=False).returncode

    def reason_of(self, step: str) -> str:
        steps = support.status_json(self.vm).get("steps", [])
        reasons = [one["reason"] for one in steps if one["id"] == step]
        return next((reason for reason in reasons if reason and "taken" in reason), "")


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
