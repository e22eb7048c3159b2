"""The process around the connector: what `main.py` and the console script start."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn, cast

# By name: Windows has no SIGHUP.
_ENDING_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


def run() -> None:
    """Run DestinationDust on the command line's arguments."""
    started_s = time.monotonic()
    _end_on_signals()
    _prepare_stdin_and_stdout()
    # A broken stdout is reported once, below, and not for each line of the log.
    logging.raiseExceptions = False
    # Imported only now, because loading the CDK takes a second. Until signals are handled, Python
    # ignores them when it is PID 1 of a container.
    from destination_dust.destination import DestinationDust
    from destination_dust.errors import StdoutError
    from destination_dust.protocol import writing_to_stdout

    try:
        DestinationDust(started_s=started_s).run(sys.argv[1:])
        with writing_to_stdout():
            sys.stdout.flush()
    except StdoutError as error:
        # Not left to the CDK's handler of uncaught exceptions, which writes to stdout.
        _end_without_stdout(error)


def _end_on_signals() -> None:
    for name in _ENDING_SIGNALS:
        signum = getattr(signal, name, None)
        # Signals that the shell or nohup ignores stay ignored.
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _end)


def _end(signum: int, _frame: FrameType | None) -> NoReturn:
    # End by the signal's default action: PyAirbyte treats other exit codes as a failure. Every line
    # was flushed when it was written. A regular exit would flush once more, and hang while nobody
    # reads the pipe.
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)
    # Signals do not end PID 1 of a container.
    os._exit(128 + signum)


def _prepare_stdin_and_stdout() -> None:
    if sys.stdout is None:
        sys.exit("Could not write to stdout: it is closed.")
    cast(TextIOWrapper, sys.stdout).reconfigure(encoding="utf-8", line_buffering=True)
    for stream in (sys.stdin, sys.stdout):
        if stream is not None:
            _make_blocking(stream.fileno())


def _make_blocking(descriptor: int) -> None:
    """Make a pipe blocking that another process has made non-blocking.

    Python would take "no data yet" for the end of the input, and a full pipe for an error.
    """
    # Windows has it since Python 3.12, for pipes only.
    with contextlib.suppress(AttributeError, OSError):
        os.set_blocking(descriptor, True)


def _end_without_stdout(error: Exception) -> NoReturn:
    try:
        print(f"Could not write to stdout: {error}.", file=sys.stderr, flush=True)
    finally:
        # A regular exit would try to write the rest of the buffers.
        os._exit(1)
