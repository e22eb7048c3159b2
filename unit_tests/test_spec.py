from __future__ import annotations

import logging
from typing import Any

import pytest
from airbyte_cdk.models import ConnectorSpecification

from destination_dust.catalog import SUPPORTED_SYNC_MODES
from destination_dust.config import DEFAULT_BASE_URL, ID_EXAMPLES, DustConfig
from destination_dust.destination import DestinationDust

FIELDS = ["api_key", "workspace_id", "space_id", "data_source_id", "base_url"]


@pytest.fixture(scope="module")
def spec() -> ConnectorSpecification:
    return DestinationDust().spec(logging.getLogger("airbyte"))


@pytest.fixture(scope="module")
def schema(spec: ConnectorSpecification) -> dict[str, Any]:
    return dict(spec.connectionSpecification)


def test_there_are_five_settings_and_no_other(schema: dict[str, Any]) -> None:
    assert sorted(schema["properties"]) == sorted(FIELDS)
    assert schema["type"] == "object"


def test_all_settings_but_the_base_url_are_required(schema: dict[str, Any]) -> None:
    assert sorted(schema["required"]) == sorted(set(FIELDS) - {"base_url"})


def test_the_key_alone_is_secret(schema: dict[str, Any]) -> None:
    secrets = [name for name, field in schema["properties"].items() if "airbyte_secret" in field]

    assert secrets == ["api_key"]
    assert schema["properties"]["api_key"]["airbyte_secret"] is True


def test_only_the_base_url_has_a_default_which_is_the_one_the_connector_uses(
    schema: dict[str, Any],
) -> None:
    defaults = {
        name: field["default"] for name, field in schema["properties"].items() if "default" in field
    }

    assert defaults == {"base_url": "https://dust.tt"}
    assert DEFAULT_BASE_URL == "https://dust.tt"


def test_the_form_shows_the_settings_in_the_order_of_the_readme(schema: dict[str, Any]) -> None:
    orders = [schema["properties"][name]["order"] for name in FIELDS]

    assert orders == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_is_a_string_with_a_title_a_description_and_examples(
    schema: dict[str, Any], name: str
) -> None:
    field = schema["properties"][name]

    assert field["type"] == "string"
    assert field["title"].strip()
    assert field["description"].strip()
    assert field["examples"]


@pytest.mark.parametrize("name", FIELDS)
def test_nothing_in_the_schema_could_make_a_validation_error_quote_a_value(
    schema: dict[str, Any], name: str
) -> None:
    """An id may have been pasted with the request around it, and the key in that."""
    shown = {"title", "description", "order", "examples", "default", "always_show"}

    assert set(schema["properties"][name]) <= shown | {"type", "airbyte_secret"}


@pytest.mark.parametrize("name", ["workspace_id", "space_id", "data_source_id"])
def test_the_example_of_an_id_is_an_id_and_the_one_that_a_refusal_shows(
    schema: dict[str, Any], name: str
) -> None:
    (example,) = schema["properties"][name]["examples"]
    settings = {"api_key": "sk-1", **dict.fromkeys(ID_EXAMPLES, "x"), name: example}

    assert getattr(DustConfig.from_mapping(settings), name) == example
    assert ID_EXAMPLES[name] == example


def test_the_form_always_shows_the_region_and_names_both(schema: dict[str, Any]) -> None:
    field = schema["properties"]["base_url"]

    assert field["always_show"] is True
    assert field["examples"] == ["https://dust.tt", "https://eu.dust.tt"]
    assert all(url in field["description"] for url in field["examples"])


def test_append_append_dedup_and_overwrite_are_the_sync_modes(
    spec: ConnectorSpecification,
) -> None:
    assert spec.supported_destination_sync_modes == list(SUPPORTED_SYNC_MODES)
