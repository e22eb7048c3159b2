"""The connector: the one place where messages, documents and the client meet."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import partial
from queue import Empty, Queue
from threading import Thread
from typing import Any

from airbyte_cdk.destinations import Destination
from airbyte_cdk.exception_handler import init_uncaught_exception_handler
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    Status,
    Type,
)

from destination_dust.catalog import configured_streams, read_catalog
from destination_dust.client import DustClient, Wait
from destination_dust.command_line import CONFIG, parse_arguments, read_json_object
from destination_dust.config import DustConfig, register_secrets
from destination_dust.document import to_document
from destination_dust.errors import DustError, causes
from destination_dust.protocol import (
    read_messages,
    stdin_lines,
    write_message,
    writing_to_stdout,
)
from destination_dust.replacement import Replacements
from destination_dust.report import SyncReport
from destination_dust.writer import Writer

logger = logging.getLogger("airbyte")

# From the start of the process: a user waits in front of a form for 60 s at most.
CHECK_TIME_LIMIT_S = 50.0
# With these the client gives up earlier, so that it can say why its last request failed.
CHECK_PATIENCE = {"read_timeout_s": 15.0, "longest_wait_s": 2.0}


class DestinationDust(Destination):
    """Upserts each record into a Dust data source as a document."""

    def __init__(
        self,
        *,
        started_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        **client_options: Any,
    ) -> None:
        """Take the time at which the process started, by the `clock`, and options for the client.

        Tests pass another clock and sleep, so that they need not wait.
        """
        super().__init__()
        self._clock = clock
        self._sleep = sleep
        self._started_s = clock() if started_s is None else started_s
        self._client_options = client_options

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Return SUCCEEDED when the key may list and write documents, else FAILED and why."""
        left_s = CHECK_TIME_LIMIT_S - (self._clock() - self._started_s)
        # In a process that has run longer, a check still gets a second.
        return _within(max(left_s, 1.0), partial(self._checked, config))

    def _checked(self, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        try:
            with self._client(
                config, wait=lambda wait: self._sleep(wait.seconds), **CHECK_PATIENCE
            ) as client:
                client.check_connection()
                client.check_write_access()
        except DustError as error:
            return _failed(str(error.message))
        except Exception as error:
            # An exception would leave the user of the form without any status.
            logger.exception("The check itself failed.")
            return _failed(
                f"The check failed with {type(error).__name__}: please report this, with the log."
            )
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def _client(self, config: Mapping[str, Any], **options: Any) -> DustClient:
        options = {
            "clock": self._clock,
            "started_s": self._started_s,
            **options,
            **self._client_options,
        }
        return DustClient(DustConfig.from_mapping(config), **options)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        """Upsert each RECORD in turn, and yield each STATE once all before it is stored.

        At the end of the input, the stale documents of replaced streams are deleted. Raises
        DustError when something could not be stored or deleted. No STATE is yielded after that.
        """
        streams = configured_streams(configured_catalog)
        replacements = Replacements(
            configured_catalog, streams, attempt=os.environ.get("WORKER_JOB_ATTEMPT")
        )
        report = SyncReport(streams, clock=self._clock)
        with self._client(config, wait=partial(self._wait, report)) as client, report:
            writer = Writer(client, streams, clock=self._clock)
            for message in input_messages:
                replacements.note(message)
                if message.type is Type.STATE:
                    # A state promises that all earlier records are stored: nothing is pending here.
                    yield message
                elif (record := message.record) is not None:
                    if (stream := streams.of(record)) is None:
                        report.ignored(record)
                        continue
                    document = to_document(stream, record)
                    report.done(document, writer.write(document))
                    replacements.remember(document)
            replacements.delete_stale(client, report)

    def _wait(self, report: SyncReport, wait: Wait) -> None:
        """Sleep as long as the client has to wait, and log the progress meanwhile."""
        report.waits(wait)
        left_s = wait.seconds
        while left_s > 0:
            slice_s = min(left_s, report.until_progress_s)
            self._sleep(slice_s)
            left_s -= slice_s
            report.progress(wait.reason if left_s > 0 else "")

    def run(self, args: list[str]) -> None:
        """Run the command in `args` and write each message at once.

        The CDK's own `run` leaves messages in a buffer and rebuilds each STATE.
        """
        init_uncaught_exception_handler(logger)
        # Its warnings quote what servers sent.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        try:
            for message in self.run_cmd(self.parse_args(args)):
                write_message(message, sys.stdout.buffer)
        except DustError as error:
            # Its message says what to do; tracebacks of the connector would only hide that.
            for cause in causes(error):
                cause.with_traceback(None)
            # Masks the secrets in all of the message, the stream's name included.
            with writing_to_stdout():
                error.emit_message()
            sys.exit(1)

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Return the command and its options; the CDK's own parser quotes what it does not know."""
        return parse_arguments(args)

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterable[AirbyteMessage]:
        """Yield the messages of a command.

        The CDK's own `run_cmd` validates the settings by the JSON schema and quotes what it
        refuses, which may be a key. Here only DustConfig validates them.
        """
        if parsed_args.command == "spec":
            yield from super().run_cmd(parsed_args)
            return
        config = self.read_config(parsed_args.config)
        # Before anything else is read that may be quoted.
        register_secrets(config)
        if parsed_args.command == "check":
            yield self._run_check(config)
        else:
            catalog = read_catalog(parsed_args.catalog)
            yield from self.write(config, catalog, read_messages(stdin_lines()))

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """Return the settings in a JSON file. Raises DustConfigError when there are none."""
        return read_json_object(config_path, CONFIG)


def _failed(message: str) -> AirbyteConnectionStatus:
    return AirbyteConnectionStatus(status=Status.FAILED, message=message)


def _within(
    limit_s: float, check: Callable[[], AirbyteConnectionStatus]
) -> AirbyteConnectionStatus:
    """Return the check's status, or a failure after `limit_s`.

    The timeouts of requests do not limit a name look-up, nor a response that comes byte by byte.
    """
    statuses: Queue[AirbyteConnectionStatus] = Queue()
    Thread(target=lambda: statuses.put(check()), daemon=True).start()
    try:
        return statuses.get(timeout=limit_s)
    except Empty:
        return _failed(
            "The check did not end in time: the server, or the look-up of its name, takes too "
            "long. Check base_url, and the network and proxy settings of the machine this runs on."
        )
