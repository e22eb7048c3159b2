from __future__ import annotations

import orjson
import pytest
from airbyte_cdk.models import AirbyteMessageSerializer, StreamDescriptor
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_dust.errors import (
    DustConfigError,
    DustError,
    DustRequestError,
    DustUnavailableError,
    InputError,
)

FAILURE_TYPES = [
    pytest.param(DustConfigError, "config_error", id="config"),
    pytest.param(DustUnavailableError, "transient_error", id="unavailable"),
    pytest.param(DustRequestError, "system_error", id="request"),
    pytest.param(InputError, "system_error", id="input"),
]


def trace(error: DustError) -> dict[str, object]:
    """Return the error of the TRACE line that Airbyte sees."""
    line = orjson.dumps(AirbyteMessageSerializer.dump(error.as_airbyte_message()))
    found: dict[str, object] = orjson.loads(line)["trace"]["error"]
    return found


@pytest.mark.parametrize(("kind", "failure_type"), FAILURE_TYPES)
def test_each_error_reaches_airbyte_with_its_message_failure_type_and_stream(
    kind: type[DustError], failure_type: str
) -> None:
    """Message and internal message are the same: older CDKs show the internal one only."""
    shown = trace(kind("No such space.", stream=StreamDescriptor(name="users", namespace="eu")))

    assert shown["failure_type"] == failure_type
    assert shown["message"] == shown["internal_message"] == "No such space."
    assert shown["stream_descriptor"] == {"name": "users", "namespace": "eu"}


@pytest.mark.parametrize(("kind", "failure_type"), FAILURE_TYPES)
def test_each_error_is_a_runtime_error_and_a_traced_exception(
    kind: type[DustError], failure_type: str
) -> None:
    error = kind("No such space.")

    assert isinstance(error, DustError)
    assert isinstance(error, RuntimeError)
    assert isinstance(error, AirbyteTracedException)
    assert error.failure_type.value == failure_type
    assert str(error) == "No such space."


def test_an_error_without_a_stream_names_none() -> None:
    assert trace(DustConfigError("No such space.")).get("stream_descriptor") is None


def test_a_lone_surrogate_in_a_message_does_not_keep_the_trace_from_being_printed() -> None:
    assert trace(DustRequestError("Could not upsert \ud800é."))["message"] == (
        "Could not upsert \\ud800é."
    )


def test_a_secret_in_a_message_is_masked_also_where_json_would_escape_it() -> None:
    """Such as a key that is part of a document's id: the CDK looks for it in the line only."""
    add_to_secrets('hunter2"')
    assert trace(DustRequestError('Could not upsert hunter2".'))["message"] == (
        "Could not upsert ****."
    )
