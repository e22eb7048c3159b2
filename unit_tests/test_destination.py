"""The connector as the CDK sees it: check and write."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
import requests_mock
from airbyte_cdk.models import (
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    Status,
    Type,
)

from destination_dust.destination import CHECK_TIME_LIMIT_S, DestinationDust
from destination_dust.errors import DustConfigError
from unit_tests.builders import USERS, catalog_of, configured, record_of
from unit_tests.clock import Clock

CONFIG = {
    "api_key": "sk-very-secret",
    "workspace_id": "w1",
    "space_id": "vlt_1",
    "data_source_id": "dts_1",
}
CATALOG = catalog_of(configured("users", primary_key=[["id"]]))
UNSUPPORTED = catalog_of(configured("users", generations=(7, 6, 40)))
DOCUMENTS = "https://dust.tt/api/v1/w/w1/spaces/vlt_1/data-sources/dts_1/documents"
LOGGER = logging.getLogger("airbyte")


def record(id_: object) -> AirbyteMessage:
    return AirbyteMessage(type=Type.RECORD, record=record_of(USERS, {"id": id_}))


# Write


@pytest.mark.parametrize(
    ("config", "catalog", "named"),
    [
        (CONFIG, UNSUPPORTED, "The minimum_generation_id of stream 'users' is 6"),
        ({**CONFIG, "space_id": "a/b"}, CATALOG, "space_id"),
    ],
    ids=["catalog", "settings"],
)
def test_nothing_is_sent_where_the_catalog_or_a_setting_is_wrong(
    http: requests_mock.Mocker,
    config: Mapping[str, Any],
    catalog: ConfiguredAirbyteCatalog,
    named: str,
) -> None:
    with pytest.raises(DustConfigError, match=f"^{named}"):
        list(DestinationDust().write(config, catalog, [record(1)]))
    assert http.call_count == 0


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "the rate limit"), (503, "another try")], ids=["429", "503"]
)
def test_progress_is_logged_every_30_s_while_the_client_waits(
    http: requests_mock.Mocker,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    reason: str,
) -> None:
    """And the waits add up to what the client asked for."""
    caplog.set_level(logging.INFO, "airbyte")
    http.get(DOCUMENTS, json={"documents": []})
    busy = {"status_code": status, "headers": {"Retry-After": "75"}}
    stored = {"json": {"document": {"hash": "x"}}}
    http.post(f"{DOCUMENTS}/users-1", [stored])
    http.post(f"{DOCUMENTS}/users-2", [busy, stored])
    destination = DestinationDust(clock=clock, sleep=clock.sleep)
    list(destination.write(CONFIG, CATALOG, [record(1), record(2)]))
    assert sum(clock.waits_s) == 75.0
    assert [line for line in caplog.messages if " done " in line] == [
        f"1 record done (0 unchanged), {upserts} in the last minute, waiting for {reason}."
        for upserts in ("1 upsert", "0 upserts")
    ]


# Check


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "15"}], ids=["backoff", "Retry-After"])
def test_a_check_gives_up_before_the_user_at_the_form_does(
    http: requests_mock.Mocker, clock: Clock, headers: dict[str, str]
) -> None:
    """Even when each request takes as long as it may: so it can say why the last one failed."""

    def at_the_last_moment(request: Any, _context: object) -> str:
        clock.now_s += request.timeout[1]
        return ""

    http.get(DOCUMENTS, status_code=503, headers=headers, text=at_the_last_moment)
    began_s = clock()
    status = DestinationDust(clock=clock, sleep=clock.sleep).check(LOGGER, CONFIG)
    assert "answered 503" in str(status.message)
    assert clock() - began_s < CHECK_TIME_LIMIT_S - 15


def test_a_check_never_raises(http: requests_mock.Mocker) -> None:
    http.get(DOCUMENTS, exc=KeyError)
    status = DestinationDust().check(LOGGER, CONFIG)
    assert (status.status, status.message) == (
        Status.FAILED,
        "The check failed with KeyError: please report this, with the log.",
    )
