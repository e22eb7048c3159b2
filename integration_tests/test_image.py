"""The Docker image, without Docker: its build replayed in a folder, and run as Airbyte runs it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from integration_tests import connector
from integration_tests.connector import ROOT, USERS, environments, record, state
from integration_tests.local_dust import LocalDust
from integration_tests.test_certificates import Authority, bundle_of, serving


@dataclass
class Image:
    """What a Dockerfile makes, under the folder `root` instead of `/`."""

    root: Path
    bin_: Path
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    user: str = "root"

    def here(self, word: str) -> str:
        """Return a word of a command line, an absolute path moved under the root."""
        return f"{self.root}{word}" if word.startswith("/") else word


def build(context: Path, root: Path, bin_: Path) -> Image:
    """Follow the Dockerfile line by line. Fails at an instruction that it does not know."""
    image = Image(root, bin_, root)
    parsed = DockerfileParser(path=str(context / "Dockerfile"))
    for line in parsed.structure:
        value = line["value"]
        match line["instruction"]:
            case "COMMENT" | "FROM" | "LABEL":
                pass
            case "WORKDIR":
                image.folder = Path(image.here(value))
                image.folder.mkdir(parents=True)
            case "COPY":
                # Whose the copies are does not show in a folder of one's own.
                words = [word for word in shlex.split(value) if not word.startswith("--chown=")]
                *sources, target = words
                for source in sources:
                    _copy(context / source, image.folder / target)
            case "RUN":
                environments.run_in(bin_, ["sh", "-c", value], image.folder)
            case "ENV":
                name, _, words = value.partition("=")
                (image.env[name],) = shlex.split(words)
            case "ENTRYPOINT":
                image.entrypoint = json.loads(value)
            case "USER":
                image.user = value
            case unknown:
                pytest.fail(f"{unknown} is not replayed")
    return image


def _copy(source: Path, target: Path) -> None:
    """Copy as Docker does: a folder's contents, a file into a folder that ends in a slash."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


FROM_PYPI = pytest.param("from PyPI", marks=pytest.mark.pypi)


@pytest.fixture(scope="module", params=["from here", FROM_PYPI])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image, with the packages of this environment or with those of constraints.txt."""
    folder = tmp_path_factory.mktemp("image")
    context, root = folder / "context", folder / "root"
    root.mkdir()
    context.mkdir()
    everything, *kept = lines_of(".dockerignore")
    assert everything == "*"
    for name in ("Dockerfile", *(line[1:] for line in kept if line.startswith("!"))):
        _copy(ROOT / name, context / name)
    from_pypi = request.param == "from PyPI"
    if from_pypi:
        assert sys.version_info[:2] == (3, 13), "the base image has Python 3.13"
    else:
        pins = environments.installed_in(Path(sys.executable).parent)
        (context / "constraints.txt").write_text(pins, encoding="utf-8")
    bin_ = environments.make(folder / "venv", with_packages_of_this_one=not from_pypi)
    return build(context, root, bin_)


def lines_of(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def as_the_platform_runs_it(image: Image, elsewhere: Path) -> dict[str, Any]:
    """Return how to run it: AIRBYTE_ENTRYPOINT evaluated in another folder, without a home."""
    words = [image.here(word) for word in shlex.split(image.env["AIRBYTE_ENTRYPOINT"])]
    return {
        "command": ["sh", "-c", 'eval "$AIRBYTE_ENTRYPOINT $*"', "sh"],
        "cwd": elsewhere,
        "AIRBYTE_ENTRYPOINT": shlex.join(words),
        # A folder that not even root could make.
        "HOME": "/dev/null/home",
        "PATH": f"{image.bin_}:/usr/bin:/bin",
    }


def test_spec_check_and_write_run_as_on_the_platform(
    image: Image, dust: LocalDust, tmp_path: Path
) -> None:
    how = as_the_platform_runs_it(image, tmp_path)
    before = files(image)

    spec = connector.run("spec", **how)
    check = connector.check(dust.config, **how)
    run = connector.write(dust.config, USERS, [record("users", {"id": 1}), state(1)], **how)

    assert [message["type"] for message in spec.messages] == ["SPEC"]
    assert check.status == {"status": "SUCCEEDED"}
    assert (run.exit_code, run.states) == (0, [state(1)]), run.stderr
    assert list(dust.documents) == ["users-1"]
    # Its user may write nowhere else.
    assert list(tmp_path.iterdir()) == []
    assert files(image) == before


def files(image: Image) -> set[Path]:
    paths = (path for path in image.folder.rglob("*") if "__pycache__" not in path.parts)
    return {path.relative_to(image.folder) for path in paths if path.is_file()}


def test_certificates_of_a_companys_tls_proxy_are_trusted(image: Image, tmp_path: Path) -> None:
    """Many are not strict RFC 5280, which the image's Python 3.13 asks for by default."""
    company = Authority(is_critical=False)
    how = as_the_platform_runs_it(image, tmp_path)
    how["REQUESTS_CA_BUNDLE"] = bundle_of(company, tmp_path)
    with serving(tmp_path, company.sign()) as address:
        config = {**LocalDust().config, "base_url": f"https://{address}"}
        check = connector.check(config, **how)
    assert check.status == {"status": "SUCCEEDED"}


@pytest.mark.parametrize("image", [FROM_PYPI], indirect=True)
def test_the_constraints_pin_all_that_the_image_installs(image: Image) -> None:
    installed = environments.installed_in(image.bin_).splitlines()
    assert sorted(installed) == sorted(lines_of("constraints.txt"))


def test_both_entry_points_are_the_same(image: Image) -> None:
    assert image.entrypoint == ["python", "/airbyte/integration_code/main.py"]
    assert shlex.split(image.env["AIRBYTE_ENTRYPOINT"]) == image.entrypoint
    assert Path(image.here(image.entrypoint[-1])).is_file()
    assert image.user == "airbyte"


def test_the_image_holds_the_connector_alone(image: Image) -> None:
    top = {path.parts[0] for path in files(image)}
    assert top == {"main.py", "destination_dust", "requirements.txt", "constraints.txt"}


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = [Path(sys.executable).parent / "hadolint", "--no-color", "Dockerfile"]
    done = subprocess.run(hadolint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_pinned_to_its_digest() -> None:
    base = DockerfileParser(path=str(ROOT / "Dockerfile")).baseimage
    image, _, digest = base.partition("@sha256:")
    assert image == "docker.io/airbyte/python-connector-base:4.1.1"
    assert len(bytes.fromhex(digest)) == 32


def test_constraints_are_exact_versions_and_name_no_host() -> None:
    pins = [line.split("==") for line in lines_of("constraints.txt")]
    assert {"airbyte-cdk", "blake3", "requests"} <= {pin[0] for pin in pins}
    assert all(len(pin) == 2 and "/" not in pin[1] for pin in pins)
