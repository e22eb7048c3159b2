"""The package as PyPI would serve it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from integration_tests import connector
from integration_tests.connector import ROOT, USERS, environments, record, state
from integration_tests.local_dust import LocalDust

pytest.importorskip("packaging", minversion="24.2", reason="setuptools builds with no older one")

PACKAGE = ROOT / "destination_dust"
SOURCES = ("pyproject.toml", "requirements.txt", "requirements-dev.txt", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(PACKAGE, folder / PACKAGE.name)
    build = ["python", "-m", "pip", "wheel", "--no-build-isolation", "--no-index", "--no-deps", "."]
    environments.run_in(Path(sys.executable).parent, build, folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_connector_alone(wheel: Path) -> None:
    files = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    sources = [*PACKAGE.rglob("*.py"), PACKAGE / "spec.json"]
    assert sorted(files) == sorted(str(source.relative_to(ROOT)) for source in sources)


def test_the_wheel_requires_what_the_requirements_say(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(path).decode("utf-8"))
    required = [
        "".join(sorted(requirement))
        for requirement in metadata.get_all("Requires-Dist") or []
        if "extra ==" not in requirement
    ]
    # `>=2.31,<3.0` and `<3.0,>=2.31` say the same.
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert sorted(required) == sorted("".join(sorted(line)) for line in listed)
    assert metadata["Requires-Python"] == "<3.14,>=3.10"
    assert metadata.get_all("Provides-Extra") == ["dev"]


# What requirements.txt names, and what airbyte-cdk and requests require themselves.
RUNTIME = {"airbyte_cdk", "blake3", "requests", "orjson", "pydantic_core", "serpyco_rs", "urllib3"}


def test_it_imports_nothing_that_it_does_not_require() -> None:
    """The tests' own packages would be found here, and be missing for a user."""
    assert imported(PACKAGE) - {PACKAGE.name} <= RUNTIME


def test_the_unit_tests_need_only_three_packages_more() -> None:
    ours = {"destination_dust", "main", "unit_tests"}
    tools = {"pytest", "pytest_mock", "requests_mock"}
    assert {"pytest"} <= imported(ROOT / "unit_tests") <= RUNTIME | ours | tools


def imported(folder: Path) -> set[str]:
    """Return the packages that its files import, without those of Python itself."""
    sources = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]
    statement = r"^ *(?:import|from) (\w+)(?:[.\w]* import .*)?$"
    return set(re.findall(statement, "\n".join(sources), re.MULTILINE)) - sys.stdlib_module_names


def test_its_console_script_syncs(wheel: Path, dust: LocalDust, tmp_path: Path) -> None:
    bin_ = environments.make(tmp_path / "venv")
    install = ["python", "-m", "pip", "install", "--no-index", str(wheel)]
    environments.run_in(bin_, install, tmp_path)
    command = [str(bin_ / "destination-dust")]

    spec = connector.run("spec", command=command, cwd=tmp_path)
    lines = [record("users", {"id": 1}), state(1)]
    run = connector.write(dust.config, USERS, lines, command=command, cwd=tmp_path)

    (said,) = spec.messages
    assert said["spec"].items() >= json.loads((PACKAGE / "spec.json").read_bytes()).items()
    assert (run.exit_code, run.states) == (0, [state(1)]), run.stderr
    assert list(dust.documents) == ["users-1"]
