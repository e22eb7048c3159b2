"""A small Dust on this machine that responds as the live one does, for tests and trials."""

from integration_tests.local_dust.faults import Fault as Fault
from integration_tests.local_dust.faults import random_faults as random_faults
from integration_tests.local_dust.options import UNLIMITED as UNLIMITED
from integration_tests.local_dust.options import ApiKey as ApiKey
from integration_tests.local_dust.options import DataSource as DataSource
from integration_tests.local_dust.options import Options as Options
from integration_tests.local_dust.server import LocalDust as LocalDust
from integration_tests.local_dust.server import SeenRequest as SeenRequest
