"""Sees to it that there is a Chromium for the tests in a browser: Debian's, since it comes as an ordinary package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def main() -> None:
    """Install it if it is missing and we may; else say how."""
    if shutil.which("chromium"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(
            "the tests in a browser need Chromium as `chromium` on the PATH: on Debian, apt install chromium"
        )
    print("   installing chromium", flush=True)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=True)
    install = ["apt-get", "install", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    subprocess.run(install, env=quiet, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
