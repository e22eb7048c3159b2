"""Runs a sync in this process over real HTTP, with the waits handed in: fast, for many cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from destination_dust.destination import DestinationDust
from destination_dust.errors import DustError
from destination_dust.protocol import StateLine, read_messages
from integration_tests.connector import Message


@dataclass
class Sync:
    """What a sync did: the states it acknowledged, the waits it slept, how it failed."""

    states: list[bytes] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    error: DustError | None = None


def sync(config: Message, catalog: Message, lines: Iterable[bytes], **client_options: Any) -> Sync:
    """Write the lines, with waits that take no time unless the options say otherwise."""
    done = Sync()
    options = {"sleep": done.waits_s.append, **client_options}
    streams = ConfiguredAirbyteCatalogSerializer.load(catalog)
    try:
        for message in DestinationDust(**options).write(config, streams, read_messages(lines)):
            assert isinstance(message, StateLine)
            done.states.append(message.line)
    except DustError as error:
        done.error = error
    return done
