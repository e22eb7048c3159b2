from __future__ import annotations

import logging
from typing import Any

import pytest
from airbyte_cdk.models import ConnectorSpecification

from destination_dust.catalog import SUPPORTED_SYNC_MODES
from destination_dust.config import DEFAULT_BASE_URL, ID_EXAMPLES, DustConfig
from destination_dust.destination import DestinationDust

FIELDS = ["api_key", "workspace_id", "space_id", "data_source_id", "base_url"]
PARTS = {"type", "title", "description", "order", "examples"}


@pytest.fixture(scope="module")
def spec() -> ConnectorSpecification:
    return DestinationDust().spec(logging.getLogger("airbyte"))


@pytest.fixture(scope="module")
def schema(spec: ConnectorSpecification) -> dict[str, Any]:
    return dict(spec.connectionSpecification)


def test_there_are_five_settings_in_order_and_only_the_base_url_is_optional(
    schema: dict[str, Any],
) -> None:
    fields = schema["properties"]

    assert sorted(fields, key=lambda name: fields[name]["order"]) == FIELDS
    assert sorted(schema["required"]) == sorted(set(FIELDS) - {"base_url"})
    assert schema["type"] == "object"


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_is_a_described_string_without_a_pattern(
    schema: dict[str, Any], name: str
) -> None:
    """An error about a pattern would quote the value, which may be a request that has the key."""
    field = schema["properties"][name]
    more = {"api_key": {"airbyte_secret"}, "base_url": {"default", "always_show"}}

    assert set(field) == PARTS | more.get(name, set())
    assert field["type"] == "string"
    assert field["title"].strip()
    assert field["description"].strip()
    assert field["examples"]


def test_the_key_is_secret(schema: dict[str, Any]) -> None:
    assert schema["properties"]["api_key"]["airbyte_secret"] is True


def test_the_form_always_shows_the_base_url_with_the_default_and_both_regions(
    schema: dict[str, Any],
) -> None:
    field = schema["properties"]["base_url"]

    assert field["always_show"] is True
    assert field["default"] == DEFAULT_BASE_URL == "https://dust.tt"
    assert field["examples"] == ["https://dust.tt", "https://eu.dust.tt"]
    assert all(url in field["description"] for url in field["examples"])


@pytest.mark.parametrize("name", ["workspace_id", "space_id", "data_source_id"])
def test_the_example_of_an_id_is_valid_and_is_the_one_in_the_error_message(
    schema: dict[str, Any], name: str
) -> None:
    (example,) = schema["properties"][name]["examples"]
    settings = {"api_key": "sk-1", **dict.fromkeys(ID_EXAMPLES, "x"), name: example}

    assert getattr(DustConfig.from_mapping(settings), name) == example
    assert ID_EXAMPLES[name] == example


def test_append_append_dedup_and_overwrite_are_the_sync_modes(
    spec: ConnectorSpecification,
) -> None:
    assert spec.supported_destination_sync_modes == list(SUPPORTED_SYNC_MODES)
