"""Runs the connector in this process over real HTTP, with sleeps injected: for many cases."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
)

from destination_dust.destination import DestinationDust
from destination_dust.errors import DustError
from destination_dust.protocol import StateLine, read_messages
from integration_tests.connector.messages import Message


@dataclass
class Sync:
    """What a sync did: the states it acknowledged, the waits it slept, how it failed."""

    states: list[bytes] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    error: DustError | None = None


def configured(catalog: Message) -> ConfiguredAirbyteCatalog:
    return ConfiguredAirbyteCatalogSerializer.load(catalog)


def sync(
    config: Message,
    catalog: Message,
    lines: Iterable[bytes],
    *,
    attempt: str | None = None,
    **options: Any,
) -> Sync:
    """Write the lines, with waits that take no time unless the options say otherwise.

    `attempt` is the number of the job's attempt as the platform tells it.
    """
    done = Sync()
    environment = {} if attempt is None else {"WORKER_JOB_ATTEMPT": attempt}
    destination = DestinationDust(**{"sleep": done.waits_s.append, **options})
    try:
        with patch.dict(os.environ, environment):
            for message in destination.write(config, configured(catalog), read_messages(lines)):
                assert isinstance(message, StateLine)
                done.states.append(message.line)
    except DustError as error:
        done.error = error
    return done


def check(config: Message) -> AirbyteConnectionStatus:
    """Return the status of the settings, with waits that take no time."""
    waits_s: list[float] = []
    return DestinationDust(sleep=waits_s.append).check(logging.getLogger("airbyte"), config)
