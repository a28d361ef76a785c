"""Owns a real browser for tests: Debian's chromium, driven by selenium, with no screen.

with browser() as chromium:
    chromium.get(f"https://{vm.address}:8888")
"""

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

import requirements

sys.path.insert(0, str(requirements.wheel(requirements.SELENIUM)))
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402


@contextlib.contextmanager
def browser(
    screenshot: os.PathLike | str | None = None, trusted_key: str | None = None
) -> Iterator[webdriver.Chrome]:
    """A chromium with a fresh profile.

    screenshot   written if the block ends by an exception
    trusted_key  base64 of the SHA-256 of the one public key that a certificate needs no authority
                 for; without it every certificate is accepted
    """
    with tempfile.TemporaryDirectory(prefix="agent-browser-") as profile:
        options = Options()
        options.accept_insecure_certs = trusted_key is None
        if trusted_key is not None:
            options.add_argument(f"--ignore-certificate-errors-spki-list={trusted_key}")
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
            options.add_argument(f"--{argument}")
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument("--window-size=1400,1000")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chromium = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            yield chromium
        except BaseException:
            if screenshot:
                pathlib.Path(screenshot).parent.mkdir(parents=True, exist_ok=True)
                chromium.save_screenshot(str(screenshot))
            raise
        finally:
            chromium.quit()
