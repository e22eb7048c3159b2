from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from airbyte_cdk.models import (
    AirbyteEstimateTraceMessage,
    AirbyteMessage,
    AirbyteTraceMessage,
    EstimateType,
    TraceType,
    Type,
)

from destination_dust.client import Wait
from destination_dust.document import Document
from destination_dust.report import SyncReport
from destination_dust.stream import Stream
from unit_tests.builders import USERS, document_of, record_of
from unit_tests.clock import Clock

USERS_EU = replace(USERS, namespace="eu")
EVENTS = replace(USERS, name="events")
MEMBERS = Stream("members", primary_key=(("org",), ("id",)), is_deduped=True)
LOGS, LOGS_EU = Stream("logs", is_deduped=True), Stream("logs", namespace="eu")
GHOSTS = Stream("ghosts")
GHOSTS_EU = Stream("ghosts", namespace="eu")


@pytest.fixture
def report(clock: Clock, caplog: pytest.LogCaptureFixture) -> SyncReport:
    caplog.set_level(logging.DEBUG, logger="airbyte")
    streams = [stream.key for stream in (USERS, EVENTS, USERS_EU)]
    return SyncReport(streams, clock=clock, sleep=clock.sleep)


@pytest.fixture
def key_report(clock: Clock, caplog: pytest.LogCaptureFixture) -> SyncReport:
    """Return the report of streams with a composite key and without one."""
    caplog.set_level(logging.DEBUG, logger="airbyte")
    return SyncReport([stream.key for stream in (MEMBERS, LOGS, LOGS_EU)], clock=clock)


def store(report: SyncReport, stream: Stream, *, id_: str | None = "hunter2") -> None:
    report.stored(document_of(stream, {"id": id_, "name": "hunter2"}))


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of all that went through the `airbyte` logger."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "airbyte"
    ]


def summary(stream: str, counts: str) -> tuple[str, str]:
    return "INFO", f"Stream {stream}: {counts}, 0 retries, 0.0 s waited for the rate limit."


def test_a_sync_ends_with_a_summary_of_each_stream_and_one_of_all(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        store(report, USERS)
        store(report, EVENTS)
        store(report, USERS)
        report.unchanged(document_of(USERS_EU, {"id": 1}))
        report.deleted(document_of(USERS_EU, {"id": 2}))
        report.deleted_stale(USERS_EU)
        for _ in range(3):
            report.wait(Wait(1.0, is_for_rate_limit=False, stream=USERS))
        report.wait(Wait(20.25, is_for_rate_limit=True, stream=USERS))
        clock.now_s += 102
        assert said(caplog) == []

    assert said(caplog) == [
        (
            "INFO",
            "Stream 'users': 2 documents upserted, 0 unchanged, 0 deleted, 3 retries, 20.2 s "
            "waited for the rate limit.",
        ),
        summary("'events'", "1 document upserted, 0 unchanged, 0 deleted"),
        summary("'users' of namespace 'eu'", "0 documents upserted, 1 unchanged, 2 deleted"),
        (
            "INFO",
            "Sync finished in 2 min 5 s: 5 records, 3 upserted, 1 unchanged, 2 deleted.",
        ),
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (119.6, "2 min 0 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (26_100, "7 h 15 min"),
    ],
)
def test_the_duration_is_told_as_people_say_it(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture, seconds: float, told: str
) -> None:
    with report:
        clock.now_s += seconds
    assert said(caplog)[-1][1].startswith(f"Sync finished in {told}: ")


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
        "Sync failed after 0.0 s: 1 record",
    ]


def test_what_was_kept_is_warned_of_and_stands_in_the_last_line(
    report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    with report:
        report.kept(USERS, "the source did not finish", "Wait.")
        report.kept(USERS_EU, "its tags are ambiguous", "Rename it.")
    assert [text for level, text in said(caplog) if level == "WARNING"] == [
        "Stream 'users': documents of earlier syncs were kept, because the source did not finish. "
        "Wait.",
        "Stream 'users' of namespace 'eu': documents of earlier syncs were kept, because its tags "
        "are ambiguous. Rename it.",
    ]
    assert said(caplog)[-1][1].endswith(
        " 0 deleted. Documents of earlier syncs were kept: 'users', because the source did not "
        "finish; 'users' of namespace 'eu', because its tags are ambiguous."
    )


def test_progress_goes_on_while_the_client_waits(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """And the wait is as long as the client asked for."""
    for _ in range(4):
        store(report, USERS)
    report.unchanged(document_of(USERS, {"id": 1}))
    report.wait(Wait(75.0, is_for_rate_limit=True, stream=USERS))
    report.wait(Wait(20.0, is_for_rate_limit=False, stream=USERS))
    assert sum(clock.waits_s) == 95.0
    assert said(caplog) == [
        (
            "INFO",
            "5 records done (1 unchanged), 8 upserts a minute, waiting for the rate limit.",
        ),
        (
            "INFO",
            "5 records done (1 unchanged), 0 upserts a minute, waiting for the rate limit.",
        ),
        ("INFO", "5 records done (1 unchanged), 0 upserts a minute, waiting for another try."),
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
        f"Stream {name} has a record without its primary key: its document id contains a hash of "
        "the record instead."
        for name in ("'users'", "'users' of namespace 'eu'")
    ]
    assert [text.partition(",")[0] for level, text in said(caplog) if level == "INFO"] == [
        "Stream 'users': 4 documents upserted (3 without their key)",
        "Stream 'events': 0 documents upserted",
        "Stream 'users' of namespace 'eu': 1 document upserted (1 without their key)",
        "Sync finished in 0.0 s: 5 records",
    ]


def test_a_stream_without_a_primary_key_gives_one_warning(
    key_report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    for stream in (LOGS, LOGS, LOGS_EU):
        key_report.stored(document_of(stream, {"line": "hunter2"}))

    assert said(caplog) == [
        (
            "WARNING",
            f"Stream {name} has no primary key: a record that changed becomes a second document, "
            "and the first one stays until the stream is refreshed. Choose a primary key in the "
            "connection if there is one.",
        )
        for name in ("'logs'", "'logs' of namespace 'eu'")
    ]


@pytest.mark.parametrize("data", [{"id": 7}, {"org": None, "id": 7}, {"org": "acme", "id": None}])
@pytest.mark.parametrize("tell", [SyncReport.stored, SyncReport.unchanged, SyncReport.deleted])
def test_records_that_lack_a_part_of_their_key_give_one_line_on_their_old_documents(
    key_report: SyncReport,
    tell: Callable[[SyncReport, Document], None],
    data: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They had other ids, so the old document of one that is deleted stays, too."""
    for _ in range(3):
        tell(key_report, document_of(MEMBERS, data))

    assert said(caplog) == [
        (
            "INFO",
            "Stream 'members' has a record with a part of its primary key null or missing. Before "
            "version 0.3.0 such records had other document ids: their old documents stay until "
            "the stream is refreshed.",
        )
    ]


def test_records_with_their_whole_key_give_no_line(
    key_report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    whole = {"org": "", "id": False}
    key_report.stored(document_of(MEMBERS, whole))
    key_report.deleted(document_of(MEMBERS, {**whole, "_ab_cdc_deleted_at": "2026-11-24"}))

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
        ("INFO", "5 records done (0 unchanged), 10 upserts a minute."),
        ("INFO", "11 records done (0 unchanged), 12 upserts a minute."),
        ("INFO", "13 records done (0 unchanged), 1 upsert a minute."),
    ]


def test_an_estimate_of_the_source_is_told_with_the_progress(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for stream, rows in ((USERS, 10), (USERS, 2000), (USERS_EU, 345), (EVENTS, None)):
        estimate = AirbyteEstimateTraceMessage(
            name=stream.name,
            namespace=stream.namespace,
            type=EstimateType.STREAM,
            row_estimate=rows,
        )
        trace = AirbyteTraceMessage(type=TraceType.ESTIMATE, emitted_at=0.0, estimate=estimate)
        report.note(AirbyteMessage(type=Type.TRACE, trace=trace))
    report.note(AirbyteMessage(type=Type.LOG))
    clock.now_s += 30
    store(report, USERS)
    assert said(caplog) == [
        ("INFO", "1 record of about 2,345 done (0 unchanged), 2 upserts a minute.")
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

    assert len(said(caplog)) == 8
    assert "hunter2" not in caplog.text


def test_what_was_replaced_is_told_with_its_count(
    report: SyncReport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    report.deleted_stale(EVENTS)
    clock.now_s += 30.0
    report.deleted_stale(EVENTS)
    report.replaced(EVENTS, newer=0)
    report.replaced(USERS_EU, newer=1)
    assert said(caplog) == [
        ("INFO", "0 records done (0 unchanged), 2 stale documents deleted, 0 upserts a minute."),
        ("INFO", "Stream 'events' was replaced: 2 documents of earlier syncs deleted."),
        (
            "INFO",
            "Stream 'users' of namespace 'eu' was replaced: 0 documents of earlier syncs deleted.",
        ),
        (
            "WARNING",
            "Stream 'users' of namespace 'eu': 1 document kept that this sync did not bring, "
            "because another sync or somebody else has written them since this sync began.",
        ),
    ]


@pytest.mark.parametrize("stream", [MEMBERS, LOGS])
def test_a_deletion_without_a_key_is_warned_of_once(
    stream: Stream, key_report: SyncReport, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        key_report.stored(document_of(stream, {"_ab_cdc_deleted_at": "2026-11-24"}))

    assert said(caplog)[1:] == [
        (
            "WARNING",
            f"Stream '{stream.name}' has a deleted record without a primary key: which document to "
            "delete is not known, so it is stored like any other.",
        )
    ]
