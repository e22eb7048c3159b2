"""The process around the connector: what `main.py` and the console script start."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Collection

from destination_dust.stdio import WholeLineWriter, take_over

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A reader that takes longer for the rest of a line is not reading.
_LINE_TIMEOUT_S = 0.5


def run() -> None:
    """Run DestinationDust on the command line's arguments."""
    started_s = time.monotonic()
    _end_on_signals(take_over())
    # Imported only now: loading the CDK takes a second, and until then Python as PID 1 of a
    # container ignores signals.
    from destination_dust.destination import DestinationDust

    DestinationDust(started_s=started_s).run(sys.argv[1:])


def _end_on_signals(stdout: WholeLineWriter) -> None:
    # What the shell or nohup had ignored stays ignored.
    signals = [s for s in _ENDING_SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]
    # A handler would have to wait for the main thread, which may be in C code for long: a name
    # look-up takes up to 20 s. A blocked signal goes to the thread that asks for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    threading.Thread(target=_end_on_signal, args=(signals, stdout), daemon=True).start()


def _end_on_signal(signals: Collection[signal.Signals], stdout: WholeLineWriter) -> None:
    signum = signal.sigwait(signals)
    stdout.finish(_LINE_TIMEOUT_S)
    # Every line is flushed when it is written, so nothing waits in a buffer. A regular exit would
    # flush once more, and hang for as long as nobody reads the pipe.
    os._exit(128 + signum)
