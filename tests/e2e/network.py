#!/usr/bin/python3
"""Proves that a VM whose only way out is a company's proxy, which signs with a CA of its own, becomes
ready with [network] alone; and that a port that another program holds is said and taken once free.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import support
from proxy import PORT as PROXY_PORT
from proxy import Proxy
from support import PATIENCE, Vm, wait_for

COMPANY_CA = "/etc/company.pem"
NAME = "proxy.example.com"
NETWORK = f"""
[network]
proxy = "http://{NAME}:{PROXY_PORT}"
no_proxy = ["intranet.example.com"]
ca_certificates = "{COMPANY_CA}"
"""
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


class CompanyNetwork(unittest.TestCase):
    def test_a_vm_behind_a_company_proxy(self):
        with tempfile.TemporaryDirectory() as directory:
            self.vm = Vm(
                bootstrap=support.BOOTSTRAP,
                config=support.config([], support.make_password()[1], NETWORK),
                prepare=self.make_it_a_company_machine,
            )
            self.addCleanup(self.vm.stop)
            self.vm.create()
            self.addCleanup(self.vm.save_artefacts, support.artefacts("network"))
            with Proxy(pathlib.Path(directory), self.vm.host_address) as proxy:
                shutil.copyfile(proxy.ca, self.vm.root / COMPANY_CA.lstrip("/"))
                self.vm.cut_off()
                self.vm.boot()
                self.check(proxy)

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

        who = self.vm.run(["systemctl", "show", "-P", "MainPID", "in-the-way"]).stdout.strip()
        told = wait_for(lambda: self.reason_of("front"), "the front to wait for its port")
        print(told)
        self.assertIn(f"port 8888 is taken by python3 (process {who})", told)
        self.vm.run(["systemctl", "stop", "in-the-way"])

        report = self.vm.wait_settled(timeout=PATIENCE)
        self.assertEqual(report["state"], "ready", report)
        print(f"through the proxy: {len(proxy.hosts)} hosts")
        self.assertGreaterEqual(len(proxy.hosts), 2)  # the archive's and the index's
        for name in ("169.254.169.254", "metadata.google.internal", "metadata", "localhost"):
            self.assertNotIn(name, proxy.hosts)

        before = self.vm.run(["pgrep", "-u", "jupyter", "-f", "jupyter-lab"]).stdout.split()
        self.vm.run(["python3", "-c", AS_A_NOTEBOOK, before[0]], timeout=PATIENCE)
        # On our own command lines alone: apt, pip and logins of the machine are as they were.
        told = self.vm.run(
            ["grep", "-rl", NAME, "/etc/apt", "/etc/pip.conf", "/etc/environment", "/etc/profile.d"],
            check=False,
        )
        self.assertEqual(told.stdout, "")

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
