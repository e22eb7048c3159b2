from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_cdk_is_not_loaded_before_signals_are_handled() -> None:
    """It takes a second, in which PID 1 of a container would ignore them."""
    code = "import main, sys; sys.exit('airbyte_cdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
