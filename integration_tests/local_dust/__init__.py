"""A small Dust on this machine that answers as the live one does, to sync into and to test with."""

from integration_tests.local_dust.faults import Fault, random_faults
from integration_tests.local_dust.options import UNLIMITED, ApiKey, DataSource, Options
from integration_tests.local_dust.server import LocalDust, SeenRequest

__all__ = [
    "UNLIMITED",
    "ApiKey",
    "DataSource",
    "Fault",
    "LocalDust",
    "Options",
    "SeenRequest",
    "random_faults",
]
