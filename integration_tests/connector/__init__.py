"""The connector from outside: the messages it reads, its process, and how that ended."""

from integration_tests.connector.messages import USERS as USERS
from integration_tests.connector.messages import Message as Message
from integration_tests.connector.messages import catalog as catalog
from integration_tests.connector.messages import record as record
from integration_tests.connector.messages import state as state
from integration_tests.connector.messages import stream as stream
from integration_tests.connector.messages import stream_state as stream_state
from integration_tests.connector.messages import stream_status as stream_status
from integration_tests.connector.messages import users_with_states as users_with_states
from integration_tests.connector.process import COMMAND as COMMAND
from integration_tests.connector.process import ROOT as ROOT
from integration_tests.connector.process import Run as Run
from integration_tests.connector.process import check as check
from integration_tests.connector.process import environment as environment
from integration_tests.connector.process import run as run
from integration_tests.connector.process import write as write
from integration_tests.connector.process import writing as writing
