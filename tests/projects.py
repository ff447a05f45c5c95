"""A project of its own for pytest to run: its module of tests, and what its user reads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TOLD_APART = {"CI", "BUILD_NUMBER"}  # pytest says more where these are set


def run_pytest(folder: Path, program: str, *options: str) -> str:
    """What pytest says of `program`, run in `folder` as a project that has no settings."""
    (folder / "test_it.py").write_text(textwrap.dedent(program), "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", "-q", *options]
    plain = {name: value for name, value in os.environ.items() if name not in TOLD_APART}
    done = subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
