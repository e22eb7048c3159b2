"""The connector from outside: the messages it reads, its process, and how that ended."""

from integration_tests.connector.messages import (
    USERS,
    Message,
    catalog,
    record,
    state,
    stream,
    stream_state,
    stream_status,
    users_with_states,
)
from integration_tests.connector.process import (
    COMMAND,
    ROOT,
    Run,
    check,
    environment,
    run,
    write,
    writing,
)

__all__ = [
    "COMMAND",
    "ROOT",
    "USERS",
    "Message",
    "Run",
    "catalog",
    "check",
    "environment",
    "record",
    "run",
    "state",
    "stream",
    "stream_state",
    "stream_status",
    "users_with_states",
    "write",
    "writing",
]
