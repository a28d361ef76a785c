"""Owns images: the disk of a machine that the product has set up, as a layer above its suite's tree.

    Vm(layers=[image.provisioned(bootstrap, config)], bootstrap=bootstrap, config=config)

is a new instance born from that image: what belongs to an image is there (packages, Python, Jupyter),
what belongs to an instance is made anew (certificate, token). It saves what setting up takes, so it is
for tests of what comes after; one that proves how a machine is set up starts from a bare VM.
"""

import hashlib
import pathlib
import shutil
import subprocess

import cache
import tree
from vm import Vm, VmFailed

PATIENCE = 600
# What belongs to one VM only, as for the tree itself.
IDENTITY = ["etc/ssh/ssh_host_*", "etc/machine-id", "etc/hostname", "home/*/.ssh", "var/log/*"]

_RECIPE = pathlib.Path(__file__).read_text()


def provisioned(bootstrap: pathlib.Path, config: str, suite: str = "bookworm") -> pathlib.Path:
    """The layer of a VM that this bootstrap has made `ready` by this config; made once for each."""
    key = hashlib.sha256(bootstrap.read_bytes())
    key.update(f"{config}\n{tree.base(suite)}\n{_RECIPE}".encode())
    cache.forget("image-*", unused_days=1)
    return cache.entry(
        f"image-{suite}-{key.hexdigest()[:12]}", lambda place: _make(place, bootstrap, config, suite)
    )


def _make(place: pathlib.Path, bootstrap: pathlib.Path, config: str, suite: str) -> None:
    with Vm(name="image", suite=suite, bootstrap=bootstrap, config=config) as vm:
        report = vm.wait_settled(timeout=PATIENCE)
        if report["state"] != "ready":
            raise VmFailed(f"no image can be made of this VM: {report['summary']}")
        vm.poweroff()
        subprocess.run(["cp", "-a", f"{vm.directory}/upper/.", str(place)], check=True)
    for pattern in IDENTITY:
        for path in place.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
