"""The process around the connector: what `main.py` and the console script start."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_EXIT_CODE_SIGTERM = 128 + signal.SIGTERM


def run() -> None:
    """Run DestinationDust on the command line's arguments."""
    signal.signal(signal.SIGTERM, _exit_at_once)
    # Imported only now: loading the CDK takes a second, and until a handler is installed Python
    # as PID 1 of a container ignores SIGTERM.
    from destination_dust.destination import DestinationDust

    DestinationDust().run(sys.argv[1:])


def _exit_at_once(_signum: int, _frame: FrameType | None) -> None:
    # Every line is flushed when it is written, so nothing waits in a buffer. A regular exit would
    # flush once more, and hang for as long as nobody reads the pipe.
    os._exit(_EXIT_CODE_SIGTERM)
