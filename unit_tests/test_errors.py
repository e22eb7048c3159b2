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


def trace(error: DustError) -> dict[str, object]:
    """Return the error of the TRACE line that Airbyte sees."""
    line = orjson.dumps(AirbyteMessageSerializer.dump(error.as_airbyte_message()))
    found: dict[str, object] = orjson.loads(line)["trace"]["error"]
    return found


@pytest.mark.parametrize(
    ("kind", "failure_type"),
    [
        pytest.param(DustConfigError, "config_error", id="config"),
        pytest.param(DustUnavailableError, "transient_error", id="unavailable"),
        pytest.param(DustRequestError, "system_error", id="request"),
        pytest.param(InputError, "system_error", id="input"),
    ],
)
def test_each_error_reaches_airbyte_with_its_message_failure_type_and_stream(
    kind: type[DustError], failure_type: str
) -> None:
    """Message and internal message are the same, because older CDKs print only the internal one."""
    error = kind("No such space.", stream=StreamDescriptor(name="users", namespace="eu"))

    assert isinstance(error, RuntimeError)
    assert isinstance(error, AirbyteTracedException)
    assert str(error) == "No such space."
    shown = trace(error)
    assert shown["failure_type"] == failure_type
    assert shown["message"] == shown["internal_message"] == "No such space."
    assert shown["stream_descriptor"] == {"name": "users", "namespace": "eu"}


def test_an_error_without_a_stream_names_none() -> None:
    assert trace(DustConfigError("No such space.")).get("stream_descriptor") is None


def test_a_message_with_a_lone_surrogate_can_be_printed() -> None:
    assert trace(DustRequestError("No document \ud800é."))["message"] == "No document \\ud800é."


def test_a_secret_in_a_message_is_masked_also_where_json_would_escape_it() -> None:
    """Such as a key that is part of a document's id: the CDK searches only the line of JSON."""
    add_to_secrets('hunter2"')

    assert trace(DustRequestError('No document hunter2".'))["message"] == "No document ****."
