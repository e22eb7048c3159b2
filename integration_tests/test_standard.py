"""Airbyte's own tests of a connector, as the CDK brings them, against the local Dust."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from destination_dust.destination import DestinationDust
from integration_tests.connector import ROOT
from integration_tests.local_dust import LocalDust

NEEDS = "the oldest CDKs have no standard tests"
standard_tests = pytest.importorskip("airbyte_cdk.test.standard_tests", reason=NEEDS)
pytest_hooks = pytest.importorskip("airbyte_cdk.test.standard_tests.pytest_hooks", reason=NEEDS)
spec_lint = pytest.importorskip("airbyte_cdk.test.standard_tests._spec_lint", reason=NEEDS)

# One run of each test per config in acceptance-test-config.yml.
pytest_generate_tests = pytest_hooks.pytest_generate_tests


class TestStandard(standard_tests.DestinationTestSuiteBase):
    connector = DestinationDust
    connector_name = "destination-dust"

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        # By default it is guessed from the name of the folder that this is checked out in.
        return ROOT

    @pytest.fixture(autouse=True)
    def _lead_to_the_local_dust(self, dust: LocalDust, monkeypatch: pytest.MonkeyPatch) -> None:
        read_config = DestinationDust.read_config

        def with_its_port(config_path: str) -> MutableMapping[str, Any]:
            return {**read_config(config_path), "base_url": dust.config["base_url"]}

        monkeypatch.setattr(DestinationDust, "read_config", staticmethod(with_its_port))


def test_the_standard_tests_have_something_to_run() -> None:
    scenarios = TestStandard.get_scenarios()
    assert {scenario.status for scenario in scenarios if scenario.runs("check")} == {
        "succeed",
        "failed",
    }
    assert all(scenario.runs("spec") for scenario in scenarios)


def test_the_spec_passes_the_lint_of_the_cdk() -> None:
    spec = DestinationDust().spec(logging.getLogger("airbyte"))
    spec_lint.assert_spec_is_valid(spec, connector_name="destination-dust")
    assert spec_lint.find_secret_marking_errors(
        {"properties": {**spec.connectionSpecification["properties"], "token": {"type": "string"}}}
    )
