from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from destination_dust.report import SyncReport
from destination_dust.retry import Effort
from destination_dust.stream import Stream, StreamKey
from unit_tests.builders import EVENTS, USERS, document_of, record_of
from unit_tests.clock import Clock

USERS_EU = replace(USERS, namespace="eu")
GHOSTS = Stream("ghosts")
GHOSTS_EU = Stream("ghosts", namespace="eu")


@pytest.fixture
def efforts() -> dict[StreamKey | None, Effort]:
    return {}


@pytest.fixture
def report(
    efforts: dict[StreamKey | None, Effort], clock: Clock, caplog: pytest.LogCaptureFixture
) -> SyncReport:
    caplog.set_level(logging.DEBUG, logger="airbyte")
    return SyncReport([stream.key for stream in (USERS, EVENTS, USERS_EU)], efforts, clock=clock)


def store(report: SyncReport, stream: Stream, *, id_: str | None = "hunter2") -> None:
    report.stored(document_of(stream, {"id": id_, "name": "hunter2"}))


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of all that went through the `airbyte` logger."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "airbyte"
    ]


def test_a_sync_ends_with_a_summary_of_each_stream(
    report: SyncReport,
    efforts: dict[StreamKey | None, Effort],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with report:
        store(report, USERS)
        store(report, EVENTS)
        store(report, USERS)
        store(report, USERS_EU)
        efforts[USERS.key] = Effort(retries=3, rate_limit_wait_s=61.75)
        assert said(caplog) == []

    assert said(caplog) == [
        (
            "INFO",
            "Stream 'users': 2 documents upserted, 3 retries, 61.8 s waited for the rate limit.",
        ),
        (
            "INFO",
            "Stream 'events': 1 document upserted, 0 retries, 0.0 s waited for the rate limit.",
        ),
        (
            "INFO",
            "Stream 'users' of namespace 'eu': 1 document upserted, 0 retries, "
            "0.0 s waited for the rate limit.",
        ),
    ]


def test_a_sync_that_fails_ends_with_the_summary_too(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    store(report, EVENTS)

    with pytest.raises(RuntimeError, match="the sync failed"), report:
        raise RuntimeError("the sync failed")

    assert [text.partition(",")[0] for _, text in said(caplog)] == [
        "Stream 'users': 0 documents upserted",
        "Stream 'events': 1 document upserted",
        "Stream 'users' of namespace 'eu': 0 documents upserted",
    ]


def test_records_without_their_key_give_one_warning_for_the_stream_and_a_count(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        store(report, USERS)
        for _ in range(3):
            store(report, USERS, id_=None)
        store(report, USERS_EU, id_=None)

    assert [text for level, text in said(caplog) if level == "WARNING"] == [
        f"Stream {name} has a record without its primary key: its document id is made of a hash "
        "of the record instead."
        for name in ("'users'", "'users' of namespace 'eu'")
    ]
    assert [text.partition(",")[0] for level, text in said(caplog) if level == "INFO"] == [
        "Stream 'users': 4 documents upserted (3 without their key)",
        "Stream 'events': 0 documents upserted",
        "Stream 'users' of namespace 'eu': 1 document upserted (1 without their key)",
    ]


def test_a_stream_without_a_primary_key_gives_no_warning(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    store(report, EVENTS, id_=None)

    assert said(caplog) == []


def test_records_of_a_stream_out_of_the_catalog_give_one_warning_and_a_count(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        for stream in (GHOSTS, GHOSTS, GHOSTS_EU, GHOSTS):
            report.ignored(record_of(stream, {}))

    name, name_eu = "'ghosts'", "'ghosts' of namespace 'eu'"
    assert [(level, text) for level, text in said(caplog) if "ghosts" in text] == [
        (
            "WARNING",
            f"Stream {name} is not in the configured catalog: its records are not stored.",
        ),
        (
            "WARNING",
            f"Stream {name_eu} is not in the configured catalog: its records are not stored.",
        ),
        (
            "INFO",
            f"Stream {name}: 3 records not stored, as it is not in the configured catalog.",
        ),
        (
            "INFO",
            f"Stream {name_eu}: 1 record not stored, as it is not in the configured catalog.",
        ),
    ]


def test_progress_is_told_at_most_every_30_s(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in (1.0, 28.5, 0.5, 0.0, 29.9, 0.1, 100.0, 1.0):
        clock.now_s += seconds
        store(report, USERS)
        store(report, EVENTS)

    assert said(caplog) == [
        ("INFO", "5 documents upserted so far."),
        ("INFO", "11 documents upserted so far."),
        ("INFO", "13 documents upserted so far."),
    ]


def test_a_report_never_holds_what_is_in_a_record(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids and counts, never record contents."""
    with report:
        clock.now_s += 31
        store(report, USERS)
        store(report, USERS, id_=None)
        report.ignored(record_of(GHOSTS, {"name": "hunter2"}))

    assert len(said(caplog)) == 7
    assert "hunter2" not in caplog.text


def test_deletions_and_stale_documents_are_counted(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The first in the summary, the others when the stream has been replaced."""
    with report:
        store(report, USERS)
        report.deleted(document_of(USERS, {"id": 1}))
        report.swept(EVENTS)
        clock.now_s += 30.0
        report.swept(EVENTS)
        report.replaced(EVENTS)
        report.replaced(USERS_EU)
    assert [text for _, text in said(caplog)] == [
        "1 document upserted, 3 deleted so far.",
        "Stream 'events' was replaced: 2 documents of earlier syncs deleted.",
        "Stream 'users' of namespace 'eu' was replaced: 0 documents of earlier syncs deleted.",
        "Stream 'users': 1 document upserted, 1 deleted, 0 retries, 0.0 s waited for the rate "
        "limit.",
        "Stream 'events': 0 documents upserted, 0 retries, 0.0 s waited for the rate limit.",
        "Stream 'users' of namespace 'eu': 0 documents upserted, 0 retries, 0.0 s waited for the "
        "rate limit.",
    ]


def test_a_deletion_without_a_key_is_warned_of_once(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    events = replace(EVENTS, is_deduped=True)
    for _ in range(3):
        report.stored(document_of(events, {"_ab_cdc_deleted_at": "2026-11-24"}))
    assert said(caplog) == [
        (
            "WARNING",
            "Stream 'events' has a deleted record without a primary key: which document to delete "
            "is not known, so it is stored like any other.",
        )
    ]
