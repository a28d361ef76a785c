#!/usr/bin/python3
"""Proves that a new instance of an image keeps what is the image's and makes what is its own anew."""

import sys
import unittest

import support
from support import PATIENCE, Vm

import image  # the testbed's, as vm

OF_THE_IMAGE = ["service_user", "apt_packages", "python", "python_packages"]
OF_THE_INSTANCE = ["tls_certificate", "jupyter_token", "jupyter_config"]
TOKEN = "var/lib/agent/front/token"


class BornFromImage(unittest.TestCase):
    def test_packages_stay_and_secrets_do_not(self):
        layer = image.provisioned(support.BOOTSTRAP, support.config(["jupyterlab"]))
        before = (layer / TOKEN).read_text()
        # Another password than the image's, which has none: the port opens to the network as well.
        config = support.config(["jupyterlab"], support.make_password()[1])
        kept = support.artefacts("born_from_image")
        with Vm(
            bootstrap=support.BOOTSTRAP, config=config, layers=[layer], artefacts=kept
        ) as vm:
            report = vm.wait_settled(timeout=PATIENCE)
            self.assertEqual(report["state"], "ready", report)
            states = support.step_states(vm)
            self.assertEqual({states[step] for step in OF_THE_IMAGE}, {"satisfied"}, states)
            self.assertEqual({states[step] for step in OF_THE_INSTANCE}, {"applied"}, states)
            self.assertNotEqual((vm.root / TOKEN).read_text(), before)
            certificate = support.Certificate(vm)
            self.assertEqual(certificate.sha256, report["certificate_sha256"])
            self.assertEqual(support.get(vm, certificate, "/api/contents")[0], 403)
            print(support.status(vm).stdout)
            vm.save_artefacts(kept)


if __name__ == "__main__":
    support.require_root()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
