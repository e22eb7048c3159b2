"""How `make` sets up an environment, with a stand-in for Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from integration_tests.connector import ROOT

# `-m venv FOLDER` makes a stand-in for pip that prints its arguments.
PYTHON = """#!/bin/sh
[ "$2" != venv ] && exit
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@"\\n' > "$3/bin/python"
chmod +x "$3/bin/python"
"""


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_pip_shows_its_progress_at_a_terminal_only(tmp_path: Path, *, is_terminal: bool) -> None:
    for name in ("Makefile", *(path.name for path in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    ours, theirs = os.openpty() if is_terminal else os.pipe()
    subprocess.run(
        ["make", ".venv/installed", f"PYTHON={python}"],  # noqa: S607
        cwd=tmp_path,
        stdout=theirs,
        check=True,
    )
    said = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert said.count("pip install") == 2
    assert said.count("--quiet") == (0 if is_terminal else 2)
