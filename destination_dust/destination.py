"""The connector: the one place where messages, documents and the client meet."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, BinaryIO, cast

from airbyte_cdk.destinations import Destination
from airbyte_cdk.exception_handler import init_uncaught_exception_handler
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets

from destination_dust import exact_json
from destination_dust.catalog import configured_streams, read_catalog
from destination_dust.client import DustClient
from destination_dust.config import DustConfig
from destination_dust.document import to_document
from destination_dust.errors import DustConfigError, DustError
from destination_dust.protocol import read_messages, write_message
from destination_dust.report import SyncReport

logger = logging.getLogger("airbyte")


class DestinationDust(Destination):
    """Upserts each record into a Dust data source as a document."""

    def __init__(self, **client_options: Any) -> None:
        """Take options for the DustClient: with another clock and sleep, tests need not wait."""
        super().__init__()
        self._client_options = client_options

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Return SUCCEEDED when Dust lists the data source's documents, else FAILED and why."""
        try:
            with self._client(config) as client:
                client.check_connection()
        except DustError as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        except Exception as error:
            # An exception here would leave the user of the form without any status.
            logger.exception("The check itself failed.")
            message = (
                f"The check failed with {type(error).__name__}: please report this, with the log."
            )
            return AirbyteConnectionStatus(status=Status.FAILED, message=message)
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        """Upsert each RECORD in turn, and yield each STATE once all before it is stored.

        Raises DustError when a record could not be stored: no STATE follows it.
        """
        streams = configured_streams(configured_catalog)
        with self._client(config) as client, SyncReport(streams) as report:
            for message in input_messages:
                if (record := message.record) is not None:
                    stream = streams.get((record.namespace, record.stream))
                    if stream is None:
                        report.passed_over(record)
                    else:
                        document = to_document(stream, record)
                        client.upsert_document(document, report.effort(stream))
                        report.stored(document)
                elif message.type is Type.STATE:
                    # A state promises that every earlier record is stored: nothing is pending here.
                    yield message

    def run(self, args: list[str]) -> None:
        """Run the command in `args` and write each message as soon as there is one.

        As in the CDK, whose own `run` leaves messages in a buffer and rebuilds each STATE.
        """
        init_uncaught_exception_handler(logger)
        # Its warnings quote what servers sent.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        for message in self.run_cmd(self.parse_args(args)):
            write_message(message, sys.stdout.buffer)

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """Return the settings in a JSON file. Raises DustConfigError when there are none.

        The key is made known to the CDK's secret filter at once, since the validation that follows
        quotes what it refuses, and not every CDK does this for a destination. It is stripped before
        that: a filter for a blank would mask every blank.
        """
        try:
            config = dict(Destination.read_config(config_path))
        except (OSError, ValueError) as error:
            raise DustConfigError(f"Could not read the settings: {error}") from error
        if isinstance(config.get("api_key"), str):
            config["api_key"] = config["api_key"].strip()
        _register_secret(str(config.get("api_key") or ""))
        return config

    def _run_write(
        self,
        config: Mapping[str, Any],
        configured_catalog_path: str,
        input_stream: io.TextIOWrapper,
    ) -> Iterable[AirbyteMessage]:
        catalog = read_catalog(configured_catalog_path)
        # The bytes below the text layer: it would decode them by rules of its own.
        lines = cast("BinaryIO", input_stream.buffer)
        yield from self.write(config, catalog, read_messages(lines))

    def _client(self, config: Mapping[str, Any]) -> DustClient:
        dust_config = DustConfig.from_mapping(config)
        _register_secret(dust_config.api_key)
        return DustClient(dust_config, **self._client_options)


def _register_secret(secret: str) -> None:
    """Have the CDK mask the secret in all it prints, also where it stands in a line of JSON."""
    add_to_secrets(secret)
    add_to_secrets(exact_json.dumps(secret)[1:-1])
