from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from destination_dust.client import Wait
from destination_dust.report import SyncReport
from destination_dust.stream import Stream
from destination_dust.writer import Outcome
from unit_tests.builders import USERS, document_of, record_of
from unit_tests.clock import Clock

USERS_EU = replace(USERS, namespace="eu")
EVENTS = replace(USERS, name="events")
MEMBERS = Stream("members", primary_key=(("org", "id"), ("number",)), is_deduped=True)
LOGS = Stream("logs", is_deduped=True)
GHOSTS = Stream("ghosts")


@pytest.fixture
def report(clock: Clock, caplog: pytest.LogCaptureFixture) -> SyncReport:
    caplog.set_level(logging.DEBUG, logger="airbyte")
    return SyncReport([USERS, EVENTS, USERS_EU, MEMBERS, LOGS], clock=clock)


def logged(caplog: pytest.LogCaptureFixture, level: str = "INFO") -> list[str]:
    """Return what was logged at a level."""
    return [record.getMessage() for record in caplog.records if record.levelname == level]


def upsert(report: SyncReport, stream: Stream = USERS, *, id_: str | None = "hunter2") -> None:
    document = document_of(stream, {"id": id_, "name": "hunter2"})
    report.done(document, Outcome.UPSERTED)


# The summary


def test_a_sync_ends_with_a_summary_of_each_stream_and_one_of_all(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="airbyte")
    report = SyncReport([USERS, EVENTS, USERS_EU], clock=clock)
    with report:
        upsert(report, USERS)
        upsert(report, EVENTS)
        upsert(report, USERS)
        report.done(document_of(USERS_EU, {"id": 1}), Outcome.UNCHANGED)
        report.done(document_of(USERS_EU, {"id": 2}), Outcome.DELETED)
        report.deleted_stale(USERS_EU)
        for _ in range(3):
            report.waits(Wait(1.0, is_for_rate_limit=False, stream=USERS))
        report.waits(Wait(20.25, is_for_rate_limit=True, stream=USERS))
        clock.now_s += 125
        assert caplog.messages == []
    assert logged(caplog) == [
        "Stream 'users': 2 documents upserted, 0 unchanged, 0 deleted, 3 retries, 20.2 s waited "
        "for the rate limit.",
        "Stream 'events': 1 document upserted, 0 unchanged, 0 deleted, 0 retries, 0.0 s waited for "
        "the rate limit.",
        "Stream 'users' of namespace 'eu': 0 documents upserted, 1 unchanged, 2 deleted, 0 "
        "retries, 0.0 s waited for the rate limit.",
        "Sync finished in 2 min 5 s: 5 records, 3 upserted, 1 unchanged, 2 deleted.",
    ]
    assert "hunter2" not in caplog.text


def test_a_sync_that_fails_ends_with_the_summary_too(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    upsert(report, EVENTS)
    with pytest.raises(RuntimeError, match="the sync failed"), report:
        raise RuntimeError("the sync failed")
    assert logged(caplog)[1].startswith("Stream 'events': 1 document upserted, ")
    assert logged(caplog)[-1] == (
        "Sync failed after 0.0 s: 1 record, 1 upserted, 0 unchanged, 0 deleted."
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (119.6, "2 min 0 s"),
        (3599, "59 min 59 s"),
        (26_100, "7 h 15 min"),
    ],
)
def test_the_last_line_has_the_duration(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture, seconds: float, said: str
) -> None:
    with report:
        clock.now_s += seconds
    assert logged(caplog)[-1].startswith(f"Sync finished in {said}: ")


def test_records_of_a_stream_outside_of_the_catalog_give_one_warning_and_are_counted(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        for stream in (GHOSTS, GHOSTS, replace(GHOSTS, namespace="eu"), GHOSTS):
            report.ignored(record_of(stream, {"name": "hunter2"}))
        upsert(report)
    name, name_eu = "'ghosts'", "'ghosts' of namespace 'eu'"
    assert logged(caplog, "WARNING") == [
        f"Stream {name} is not in the configured catalog: its records are not stored.",
        f"Stream {name_eu} is not in the configured catalog: its records are not stored.",
    ]
    assert logged(caplog)[-3:] == [
        f"Stream {name}: 3 records not stored, as it is not in the configured catalog.",
        f"Stream {name_eu}: 1 record not stored, as it is not in the configured catalog.",
        "Sync finished in 0.0 s: 5 records, 1 upserted, 0 unchanged, 0 deleted, 4 not stored.",
    ]


# Stale documents


def test_the_progress_counts_stale_documents(
    report: SyncReport, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    report.deleted_stale(EVENTS)
    clock.now_s += 30
    report.deleted_stale(EVENTS)
    assert caplog.messages == [
        "0 records done (0 unchanged), 2 stale documents deleted, 0 upserts in the last minute."
    ]


def test_the_last_line_names_the_streams_whose_documents_were_kept(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        report.kept(USERS, "the source did not finish", "Wait.")
        report.kept(USERS_EU, "another stream has the same tags", "Rename it.")
    assert logged(caplog)[-1].endswith(
        " 0 deleted. Documents of earlier syncs were kept: 'users', because the source did not "
        "finish; 'users' of namespace 'eu', because another stream has the same tags."
    )


# Progress


def test_progress_is_logged_at_most_every_30_s_with_the_upserts_of_the_last_minute(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in (1.0, 28.5, 0.5, 0.0, 29.75, 0.25, 60.0, 1.0):
        clock.now_s += seconds
        upsert(report)
        upsert(report)
        report.done(document_of(USERS, {"id": 1}), Outcome.UNCHANGED)
    assert logged(caplog) == [
        "7 records done (2 unchanged), 5 upserts in the last minute.",
        "16 records done (5 unchanged), 11 upserts in the last minute.",
        "19 records done (6 unchanged), 1 upsert in the last minute.",
    ]


def test_the_next_progress_is_due_30_s_after_the_last_one(report: SyncReport, clock: Clock) -> None:
    clock.now_s += 29.5
    assert report.until_progress_s == 1.0
    clock.now_s += 1
    report.progress()
    clock.now_s += 10
    assert report.until_progress_s == 20.0


# Keys


def test_records_without_their_key_give_one_warning_with_its_fields_and_are_counted(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        upsert(report, USERS)
        for stream in (USERS, USERS, MEMBERS):
            upsert(report, stream, id_=None)
    assert logged(caplog, "WARNING") == [
        f"Stream {name} has a record without its primary key ({fields}): its document id contains "
        "a hash of the record instead."
        for name, fields in (("'users'", "id"), ("'members'", "org.id, number"))
    ]
    assert logged(caplog)[0].startswith(
        "Stream 'users': 3 documents upserted (2 without their key)"
    )
    assert logged(caplog)[3].startswith("Stream 'members': 1 document upserted (1 without its key)")


def test_a_record_with_a_part_of_its_key_gives_no_warning(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    document = document_of(MEMBERS, {"org": {"id": "acme"}, "number": None})
    report.done(document, Outcome.UPSERTED)
    assert caplog.messages == []


def test_a_stream_without_a_primary_key_gives_one_warning(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        report.done(document_of(LOGS, {"line": "hunter2"}), Outcome.UPSERTED)
    assert logged(caplog, "WARNING") == [
        "Stream 'logs' has no primary key: each changed record becomes a new document, and the "
        "old one stays until the stream is refreshed. Choose a primary key in the connection if "
        "there is one."
    ]
