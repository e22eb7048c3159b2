"""The stdin and stdout of the process, safe to share with other processes.

When one process makes a pipe non-blocking, it is so for all that share it, and Python's own streams
are not made for that: "nothing yet" is the end of the input to them, and a full pipe an error.
These wait instead, and leave the pipe as it is.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import Any, NoReturn

# What a pipe holds: no read brings more.
_BUFFER_SIZE = 64 * 1024


class PatientReader(io.FileIO):
    """A file descriptor to read from, as if it were blocking."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb", closefd=False)

    def readinto(self, buffer: Any, /) -> int:
        """Return how many bytes came, at least one; 0 is the end."""
        while (count := super().readinto(buffer)) is None:
            select.select([self], [], [])
        return count


class WholeLineWriter(io.FileIO):
    """A file descriptor to write whole lines to, as if it were blocking.

    When nobody can take the lines any more, the process ends with exit code 1 and a line on stderr:
    what it would store from here on, it could not acknowledge.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._next_line = threading.Lock()
        self._this_line = threading.Lock()

    def write(self, data: Any, /) -> int:
        """Write all of the data, whole lines, and return its length in bytes."""
        rest = memoryview(data)
        size = len(rest)
        with self._next_line:
            self._this_line.acquire()
        try:
            while rest:
                if (count := super().write(rest)) is None:
                    select.select([], [self], [])
                else:
                    rest = rest[count:]
        except OSError as error:
            _end(error)
        finally:
            self._this_line.release()
        return size

    def finish(self, timeout_s: float) -> None:
        """Let no further line begin, and wait until the one on its way is out."""
        self._next_line.acquire()
        self._this_line.acquire(timeout=timeout_s)


def take_over() -> WholeLineWriter:
    """Put these in the place of Python's stdin and stdout, and return what writes to stdout.

    Raises SystemExit when stdout is closed.
    """
    if sys.stdout is None:
        sys.exit("Could not write to stdout: it is closed.")
    if sys.stdin is None:
        # It is closed. What takes its number cannot be read: the next socket could.
        os.open(os.devnull, os.O_WRONLY)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(PatientReader(0), _BUFFER_SIZE), "utf-8")
    writer = WholeLineWriter(1)
    # The CDK writes its log to `sys.__stdout__`.
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(  # type: ignore[misc]
        io.BufferedWriter(writer, _BUFFER_SIZE), "utf-8", line_buffering=True
    )
    return writer


def _end(error: OSError) -> NoReturn:
    # At once: a regular exit would try to write what is left in buffers.
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"Could not write to stdout: {error.strerror}.\n")
            sys.stderr.flush()
    finally:
        os._exit(1)
