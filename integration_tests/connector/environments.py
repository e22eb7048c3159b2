"""Virtual environments for tests, made without a network."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from pathlib import Path

from integration_tests.connector.process import environment


def make(folder: Path, *, with_packages_of_this_one: bool = True) -> Path:
    """Make a virtual environment, and return the folder of its programs.

    It holds nothing but pip, or sees the packages of this environment, which pip takes for its own.
    """
    venv.create(folder, with_pip=not with_packages_of_this_one, symlinks=True)
    if with_packages_of_this_one:
        site_packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
        (Path(site_packages) / "packages_of_the_tests.pth").write_text(
            f"{sysconfig.get_path('purelib')}\n", encoding="utf-8"
        )
    return folder / "bin"


def run_in(bin_: Path, command: list[str], cwd: Path, **env: str) -> None:
    """Run a command with the programs of an environment first on its PATH."""
    env = environment(**{"PIP_DISABLE_PIP_VERSION_CHECK": "1", **env})
    env["PATH"] = f"{bin_}:{env['PATH']}"
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def installed_in(bin_: Path) -> str:
    """Return what is installed in an environment, as pins that pip reads."""
    freeze = [bin_ / "python", "-m", "pip", "freeze", "--exclude-editable"]
    return subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
