"""Every way in which a sync or a check can fail.

DustError (RuntimeError, AirbyteTracedException)
├── DustConfigError       config_error      the user can fix it: key, ids, URL, plan, catalog, size
├── DustUnavailableError  transient_error   timeout, broken connection, 429, 5xx after the retries
├── DustRequestError      system_error      Dust refused what the connector sent
└── InputError            system_error      stdin does not hold what the Airbyte protocol allows

As a RuntimeError each fails the sync; as an AirbyteTracedException each reaches the user as a TRACE
with its own message, failure type and stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from airbyte_cdk.models import FailureType, StreamDescriptor
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


class DustError(AirbyteTracedException, RuntimeError):
    """A failure with a message for the user: what failed, what was said, what to do."""

    kind: ClassVar[FailureType] = FailureType.system_error

    def __init__(self, message: str, *, stream: StreamDescriptor | None = None) -> None:
        # Masked here, because in the CDK's own line of JSON a key may be escaped.
        message = filter_secrets(message)
        # A lone surrogate in a message would make the CDK fail while it prints the TRACE.
        message = message.encode("utf-8", "backslashreplace").decode("utf-8")
        super().__init__(
            # Older CDKs print only the internal message.
            internal_message=message,
            message=message,
            failure_type=self.kind,
            stream_descriptor=stream,
        )


class DustConfigError(DustError):
    """The user can fix it in the connector's settings, the connection or Dust."""

    kind = FailureType.config_error


class DustUnavailableError(DustError):
    """Dust could not be reached or was not ready, even after retries. A later sync may succeed."""

    kind = FailureType.transient_error


class DustRequestError(DustError):
    """Dust refused what the connector sent: a defect on one of the two sides."""


class InputError(DustError):
    """Stdin does not hold what the Airbyte protocol allows, or cannot be read."""


class StdoutError(Exception):
    """Stdout cannot be written to, and so no message can say why the sync failed."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all that caused it: behind a proxy, some are only in the context."""
    if error is not None:
        yield error
        yield from causes(error.__cause__)
        yield from causes(error.__context__)
