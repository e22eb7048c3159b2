"""A small Dust on this machine that responds as the live one does, for tests and trials."""

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
