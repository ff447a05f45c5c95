"""The virtual environments of the project: made on demand, reused while they fit `pyproject.toml`.

A stamp inside each says what was installed and from which requirements. One that no longer fits is made
anew, so that a requirement taken out of `pyproject.toml` is really gone. One without a stamp was made by
somebody else: it is installed into and never cleared.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOWEST = ("trio", "testing", "examples", "test")  # the extras that the suite needs
SUPPORTED = ("3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, kw_only=True)
class Venv:
    """An environment in the project's folder, with the package installed in place.

    Or with something else: where there is a file of `requirements`, that is all that is installed.

    Attributes:
        name: its folder.
        extras: the extras of the package that it must have; it may have more.
        version: the Python that it has, such as `3.11`.
        base: the interpreter that it is made from.
        pins: exact requirements, such as `attrs==23.2.0`, to install along with the package.
        requirements: a file of exact requirements to install in place of the package.
    """

    name: str
    extras: frozenset[str]
    version: str = HERE
    base: str = sys.executable
    pins: tuple[str, ...] = ()
    requirements: Path | None = None

    @property
    def python(self) -> str:
        """The environment's own interpreter."""
        return str(ROOT / self.name / "bin" / "python")

    def prepare(self) -> None:
        """Make or renew it, unless its stamp says that it has what is wanted.

        Raises:
            subprocess.CalledProcessError: `venv` or `pip` failed, and has said why.
        """
        wanted = {
            "at": str(ROOT),
            "digest": digest(self.requirements),
            "python": self.version,
            "pins": list(self.pins),
        }
        stamp = ROOT / self.name / "stretto-gate.json"
        found: dict[str, Any] = json.loads(stamp.read_text()) if stamp.exists() else {}
        had = set(found.pop("extras", ()))
        usable = Path(self.python).exists()  # no: never made, or the interpreter that it points to has gone
        enough = self.extras <= had or "dev" in had  # which has what the others have
        if usable and found == wanted and enough:
            return
        if not usable or (found and found != wanted):
            had.clear()
            print(f"   making {self.name} with Python {self.version}", flush=True)
            subprocess.run([self.base, "-m", "venv", "--clear", str(ROOT / self.name)], check=True)
        stamp.unlink(missing_ok=True)  # an installation that breaks off leaves no word that it is done
        self._install(sorted(had | self.extras))
        stamp.write_text(json.dumps(wanted | {"extras": sorted(had | self.extras)}))

    def _install(self, extras: list[str]) -> None:
        pip = [self.python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        if self.requirements is not None:
            print(f"   installing {self.requirements.name} into {self.name}", flush=True)
            subprocess.run([*pip, "--requirement", str(self.requirements)], cwd=ROOT, check=True)
            return
        package = f".[{','.join(extras)}]" if extras else "."
        print(f"   installing {package} into {self.name}", *self.pins, flush=True)
        subprocess.run([*pip, "--editable", package, *self.pins], cwd=ROOT, check=True)


def project() -> dict[str, Any]:
    """What `pyproject.toml` says of the package and of its build; the settings of the tools are left out."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {**told["project"], "build-system": told["build-system"]}


def digest(requirements: Path | None = None) -> str:
    """A short mark of all that decides what an environment holds."""
    decides = json.dumps(project(), sort_keys=True) if requirements is None else requirements.read_text()
    return hashlib.sha256(decides.encode()).hexdigest()


def lowest_pins() -> tuple[str, ...]:
    """The lower bounds, each as that very version: `attrs>=23.2.0` gives `attrs==23.2.0`.

    Those of the test tools belong to it: anyio's pytest plugin of that time warns under a pytest of today.
    """
    told = project()
    extras = told["optional-dependencies"]
    listed = [*told["dependencies"], *(item for name in LOWEST for item in extras[name])]
    return tuple(item.replace(">=", "==") for item in listed if ">=" in item)


@cache
def pythons() -> dict[str, str]:
    """The supported versions that this machine has and the running one, oldest first: their interpreters."""
    found = {version: find_python(version) for version in sorted({*SUPPORTED, HERE})}
    return {version: base for version, base in found.items() if base is not None}


def find_python(version: str) -> str | None:
    """The first interpreter of that version, on the PATH or among pyenv's, that really starts.

    Starting it is the only way to know: pyenv puts a `python3.12` on the PATH that only says that it is not
    the chosen one.
    """
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    return next((python for python in candidates if python and starts(python, version)), None)


def starts(python: str, version: str) -> bool:
    """Whether that program is such a Python, with what `venv` needs (some distributions split that off)."""
    ask = [python, "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.strip() == version
