"""What Airbyte reads about the connector, and that it says the same everywhere."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from setuptools.config.pyprojecttoml import read_configuration

import destination_dust
from integration_tests.connector import ROOT

METADATA = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
PROJECT = read_configuration(ROOT / "pyproject.toml")["project"]
DOCKERFILE = DockerfileParser(path=str(ROOT / "Dockerfile"))
SCHEMA = "airbyte_connector_models/metadata/v0/ConnectorMetadataDefinitionV0.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    """Airbyte's schema of metadata.yaml, formats included."""
    try:
        package = distribution("airbyte-connector-models")
    except PackageNotFoundError:
        pytest.skip("requirements-schema.txt is not installed")
    schema = json.loads(Path(package.locate_file(SCHEMA)).read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(
        _without_inner_ids(schema), format_checker=jsonschema.FormatChecker()
    )


def _without_inner_ids(schema: Any) -> Any:
    """Return the schema without `$id`s: its references count from its root, not from them."""
    if isinstance(schema, dict):
        return {
            key: _without_inner_ids(value)
            for key, value in schema.items()
            if not (key == "$id" and isinstance(value, str))
        }
    return [_without_inner_ids(item) for item in schema] if isinstance(schema, list) else schema


def test_metadata_is_valid(validator: jsonschema.Draft7Validator) -> None:
    assert [error.message for error in validator.iter_errors(METADATA)] == []
    assert str(UUID(METADATA["data"]["definitionId"])) == METADATA["data"]["definitionId"]


def test_invalid_metadata_would_be_found(validator: jsonschema.Draft7Validator) -> None:
    """Also in a part of the schema that is referred to, and by its format."""
    change = {"releaseDate": "today", "remoteRegistries": {"pypi": {"enabled": True}}}
    errors = validator.iter_errors({**METADATA, "data": {**METADATA["data"], **change}})
    found = {"'today' is not a 'date'", "'packageName' is a required property"}
    assert {error.message for error in errors} == found


def test_the_platform_may_refresh_streams_and_reach_dust() -> None:
    data = METADATA["data"]
    assert data["supportsRefreshes"] is True
    assert data["allowedHosts"] == {"hosts": ["dust.tt", "eu.dust.tt", "${base_url}"]}
    # These would announce changes that break connections, but there are none.
    assert "releases" not in data


def test_the_version_is_the_same_everywhere() -> None:
    changelog, docs, readme = (
        (ROOT / page).read_text(encoding="utf-8")
        for page in ("CHANGELOG.md", "docs/dust.md", "README.md")
    )
    released = re.findall(r"^## \[(\d\S*)\] - (\S+)$", changelog, re.MULTILINE)
    in_the_docs = re.findall(r"^(\d\S*) +\| (\S+)", docs, re.MULTILINE)
    images = re.findall(r"destination-dust:([\w.]+)", readme + docs)
    (in_the_form,) = re.findall(r"^Docker image tag \| `(\S+)`$", docs, re.MULTILINE)
    assert len(images) > 5
    assert released[0] == in_the_docs[0]
    assert {
        PROJECT["version"],
        METADATA["data"]["dockerImageTag"],
        DOCKERFILE.labels["io.airbyte.version"],
        released[0][0],
        in_the_form,
        *images,
    } == {destination_dust.__version__}


def test_names_and_base_image_are_the_same_everywhere() -> None:
    data = METADATA["data"]
    repository = data["dockerRepository"]
    assert repository == DOCKERFILE.labels["io.airbyte.name"]
    assert data["remoteRegistries"]["pypi"]["packageName"] == PROJECT["name"]
    assert PROJECT["name"] == repository.replace("/", "-")
    assert data["githubIssueLabel"] == repository.removeprefix("airbyte/")
    assert data["connectorBuildOptions"]["baseImage"] == DOCKERFILE.baseimage
    assert data["license"] == PROJECT["license"]
    assert (ROOT / data["icon"]).is_file()
    spec = json.loads((ROOT / "destination_dust" / "spec.json").read_bytes())
    assert data["documentationUrl"] == spec["documentationUrl"]
