"""`check` says what to fix, and its process ends with exit code 0 whatever it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from airbyte_cdk.models import Status

from integration_tests import connector
from integration_tests.connector import Message, in_process
from integration_tests.local_dust import ApiKey, DataSource, Fault, LocalDust, Options

WORLD = Options(
    api_keys={f"sk-{name}": ApiKey(name) for name in ("mine", "other", "poor")},
    data_sources=(DataSource("mine", "vlt_1", "dts_1"), DataSource("poor", "vlt_1", "dts_1")),
    workspaces_without_api=frozenset({"poor"}),
)

POOR = {"api_key": "sk-poor", "workspace_id": "poor"}
DOWN = b'{"error":{"type":"service_unavailable","message":"Down."}}'


@pytest.fixture(scope="module", params=["underscore", "hyphen"])
def world(request: pytest.FixtureRequest) -> Iterator[LocalDust]:
    with LocalDust(WORLD, route_style=request.param) as dust:
        yield dust


def failure(config: Message) -> str:
    """Return the message of a check that fails."""
    status = in_process.check(config)
    assert status.status is Status.FAILED
    message = str(status.message)
    assert config["api_key"] not in message
    return message


def test_the_right_settings_succeed(world: LocalDust) -> None:
    status = in_process.check({**world.config, "base_url": world.config["base_url"] + "/"})
    assert status.status is Status.SUCCEEDED


def test_the_process_of_a_check_that_fails_says_why(dust: LocalDust) -> None:
    run = connector.check({**dust.config, "api_key": "sk-unknown"})
    assert (run.exit_code, run.status["status"]) == (0, "FAILED")
    assert run.status["message"].startswith("Could not list the data source's documents: ")
    assert b"sk-unknown" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("change", "type_"),
    [
        ({"api_key": "sk-unknown"}, "invalid_api_key_error"),
        ({"api_key": "sk-other"}, "workspace_auth_error"),
        ({"api_key": "not-sk"}, "malformed_authorization_header_error"),
        ({"workspace_id": "nope"}, "workspace_not_found"),
        ({"space_id": "nope"}, "data_source_not_found"),
        ({"data_source_id": "dsv_1"}, "data_source_not_found"),
        (POOR, "workspace_can_use_product_required_error"),
    ],
    ids=["key", "other workspace's", "no Dust key", "workspace", "space", "data source", "plan"],
)
def test_wrong_settings_are_reported_in_dusts_words(
    world: LocalDust, change: Message, type_: str
) -> None:
    assert f" {type_}, " in failure({**world.config, **change})


@pytest.mark.parametrize(
    ("is_managed", "can_write"), [(False, False), (True, True)], ids=["reads only", "managed"]
)
def test_a_key_that_may_only_read_fails_with_what_to_do(is_managed: bool, can_write: bool) -> None:
    """A list alone does not show it: the sync would fail with its first record."""
    source = DataSource("mine", "vlt_1", "dts_1", is_managed=is_managed)
    keys = {"sk-mine": ApiKey("mine", can_write=can_write)}
    with LocalDust(Options(api_keys=keys, data_sources=(source,))) as dust:
        message = failure(dust.config)
    assert message.startswith(
        "Could not write to the data source: Dust answered 403 data_source_auth_error"
    )


def test_a_check_leaves_no_trace(dust: LocalDust) -> None:
    """It deletes an id that no record can have, and takes no slot of the rate limit."""
    assert in_process.check(dust.config).status is Status.SUCCEEDED
    *lists, probe = dust.requests
    assert {one.method for one in lists} == {"GET"}
    assert probe.method == "DELETE"
    assert re.fullmatch(r"airbyte\.check\.[0-9a-f]{16}", probe.path.rpartition("/")[2])
    assert dict(dust.documents) == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=403, body=b"<html>Blocked</html>"),
        Fault(status=503, body=DOWN),
        Fault(ending="reset"),
    ],
    ids=["a proxy's 403", "Dust is down", "reset"],
)
def test_any_other_response_to_the_delete_changes_nothing_and_is_not_retried(
    dust: LocalDust, fault: Fault
) -> None:
    dust.faults = lambda request: fault if request.method == "DELETE" else None
    assert in_process.check(dust.config).status is Status.SUCCEEDED
    assert [one.method for one in dust.requests].count("DELETE") == 1


def test_a_missing_setting_is_named_without_a_request(dust: LocalDust) -> None:
    config = dust.config
    del config["space_id"]
    assert failure(config) == "space_id is required."
    assert dust.requests == []


def test_a_list_that_is_not_dusts_is_no_success(dust: LocalDust) -> None:
    dust.faults = iter([Fault(status=200, body=b"<html>Sign in</html>")] * 4)
    assert "answered 200, but not as Dust does" in failure(dust.config)


def test_a_server_without_dusts_api_is_named_with_both_addresses(dust: LocalDust) -> None:
    dust.faults = iter([Fault(status=404)] * 2)
    space = f"{dust.config['base_url']}/api/v1/w/local-workspace/spaces/vlt_local"
    assert failure(dust.config) == (
        "Could not list the data source's documents: there is no Dust API at this address (404 "
        f"from {space}/data-sources/dts_local/documents?limit=1 and "
        f"{space}/data_sources/dts_local/documents?limit=1). Check base_url: https://dust.tt is "
        "the US, https://eu.dust.tt is Europe."
    )


@pytest.mark.parametrize("host", [".dust.tt", "dust..tt", "*.dust.tt", "d" * 64 + ".tt"])
def test_a_host_that_no_request_can_be_sent_to_is_a_wrong_base_url(host: str) -> None:
    config = {**LocalDust().config, "base_url": f"https://{host}"}
    assert failure(config) == "base_url is not a URL such as https://dust.tt: check its host."
