"""The package as PyPI would serve it."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from integration_tests import connector
from integration_tests.connector import ROOT, USERS, environments, record, state
from integration_tests.local_dust import LocalDust

pytest.importorskip("packaging", minversion="24.2", reason="setuptools builds with no older one")

PACKAGE = ROOT / "destination_dust"
REQUIREMENTS = ROOT / "requirements.txt"
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
    listed = REQUIREMENTS.read_text(encoding="utf-8").split()
    assert sorted(required) == sorted("".join(sorted(line)) for line in listed)
    assert metadata["Requires-Python"] == "<3.14,>=3.10"
    assert metadata.get_all("Provides-Extra") == ["dev"]


def test_it_imports_nothing_that_it_does_not_require() -> None:
    """What the tests bring would be found here, and be missing at a user's."""
    others = imported(PACKAGE) - {PACKAGE.name}
    assert {"airbyte_cdk", "blake3", "requests"} <= others
    assert others <= importable(runtime_requirements())


def test_the_unit_tests_need_only_three_packages_more() -> None:
    others = imported(ROOT / "unit_tests") - {"destination_dust", "main", "unit_tests"}
    tools = {"pytest", "pytest_mock", "requests_mock"}
    assert {"pytest", "requests_mock"} <= others
    assert others <= importable(runtime_requirements()) | tools


def imported(folder: Path) -> set[str]:
    """Return the packages that its files import, without those of Python itself."""
    names = {name for source in folder.rglob("*.py") for name in imports(source)}
    return names - sys.stdlib_module_names


def importable(packages: set[str]) -> set[str]:
    """Return the top-level names that the packages install, with all that they require."""
    return {path.parts[0] for name in closure(packages) for path in distribution(name).files or []}


def runtime_requirements() -> set[str]:
    """Return the names of the packages in requirements.txt."""
    return requirements(REQUIREMENTS.read_text(encoding="utf-8").splitlines())


def imports(source: Path) -> set[str]:
    """Return the top-level names of what a file imports."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    names += [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    ]
    return {name.partition(".")[0] for name in names}


def closure(names: set[str]) -> set[str]:
    """Return the names with all that they require, as installed here."""
    found: set[str] = set()
    while names:
        found |= names
        names = {
            name for known in names for name in requirements(distribution(known).requires or [])
        } - found
    return found


def requirements(lines: list[str]) -> set[str]:
    """Return the names of the packages that the requirements ask for here, without extras."""
    parsed = [Requirement(line) for line in lines]
    return {
        canonicalize_name(requirement.name)
        for requirement in parsed
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


def test_its_console_script_syncs(wheel: Path, dust: LocalDust, tmp_path: Path) -> None:
    bin_ = environments.make(tmp_path / "venv")
    environments.run_in(
        bin_, ["python", "-m", "pip", "install", "--no-index", str(wheel)], tmp_path
    )
    command = [str(bin_ / "destination-dust")]

    spec = connector.run("spec", command=command, cwd=tmp_path)
    run = connector.write(
        dust.config,
        USERS,
        [record("users", {"id": 1}), state(1)],
        command=command,
        cwd=tmp_path,
    )

    (said,) = spec.messages
    assert said["spec"].items() >= json.loads((PACKAGE / "spec.json").read_bytes()).items()
    assert run.exit_code == 0, run.stderr
    assert run.states == [state(1)]
    assert list(dust.documents) == ["users-1"]
