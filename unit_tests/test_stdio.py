from __future__ import annotations

import io
import os
import select
import threading
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from destination_dust.stdio import PatientReader, WholeLineWriter

LONG_LINE = b"x" * 1_000_000 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe, both ends of it non-blocking."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Something to read or write in while the test does the other."""
    with ThreadPoolExecutor() as pool:
        yield pool


def reader(pipe: tuple[int, int]) -> io.BufferedReader:
    return io.BufferedReader(PatientReader(pipe[0]))


def assert_still_waits(future: Future[object]) -> None:
    with pytest.raises(futures.TimeoutError):
        future.result(timeout=0.02)


def test_no_data_yet_is_not_the_end_of_the_input(
    pipe: tuple[int, int], pool: ThreadPoolExecutor
) -> None:
    line = pool.submit(reader(pipe).readline)

    for piece in (b"", b"on", b"e"):
        os.write(pipe[1], piece)
        assert_still_waits(line)
    os.write(pipe[1], b"\ntwo")
    assert line.result() == b"one\n"


def test_the_input_ends_where_its_last_writer_is_gone(pool: ThreadPoolExecutor) -> None:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    lines = pool.submit(reader(ends).readlines)

    assert_still_waits(lines)
    os.write(ends[1], b"one\ntwo")
    os.close(ends[1])
    assert lines.result() == [b"one\n", b"two"]
    os.close(ends[0])


def test_a_line_is_read_before_there_is_a_next_one(pipe: tuple[int, int]) -> None:
    lines = reader(pipe)
    os.write(pipe[1], b"one\n")

    assert lines.readline() == b"one\n"


def test_a_line_larger_than_the_pipe_is_written_whole(
    pipe: tuple[int, int], pool: ThreadPoolExecutor
) -> None:
    written = pool.submit(WholeLineWriter(pipe[1]).write, LONG_LINE)

    assert reader(pipe).readline() == LONG_LINE
    assert written.result() == len(LONG_LINE)


def test_a_shared_pipe_stays_as_non_blocking_as_it_was(pipe: tuple[int, int]) -> None:
    WholeLineWriter(pipe[1]).write(b"one\n")
    reader(pipe).readline()

    assert [os.get_blocking(end) for end in pipe] == [False, False]


def test_finishing_waits_for_the_line_on_its_way_and_lets_none_follow(
    pipe: tuple[int, int], pool: ThreadPoolExecutor
) -> None:
    stdout = WholeLineWriter(pipe[1])
    # Not in the pool, which would wait for its end: it has none.
    threading.Thread(target=stdout.writelines, args=([LONG_LINE, b"two\n"],), daemon=True).start()
    select.select([pipe[0]], [], [])
    finished = pool.submit(stdout.finish, 60)
    assert_still_waits(finished)

    left = len(LONG_LINE)
    while left:
        select.select([pipe[0]], [], [])
        left -= len(os.read(pipe[0], left))
    finished.result()
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)


def test_finishing_does_not_wait_for_ever_for_a_line_that_nobody_reads(
    pipe: tuple[int, int], pool: ThreadPoolExecutor
) -> None:
    stdout = WholeLineWriter(pipe[1])
    this = pool.submit(stdout.write, LONG_LINE)
    assert_still_waits(this)

    stdout.finish(timeout_s=0.02)
    reader(pipe).readline()
