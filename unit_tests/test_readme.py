"""The README and the other pages say what the connector does."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

from destination_dust.failures import MEANINGS
from unit_tests.builders import USERS, document_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_is_that_of_the_spec() -> None:
    spec = json.loads((ROOT / "destination_dust" / "spec.json").read_text(encoding="utf-8"))
    schema = spec["connectionSpecification"]
    rows = re.findall(r"^\| `(\w+)` \| (Yes|No) \| (.+) \|$", README, flags=re.MULTILINE)
    assert [(name, required == "Yes") for name, required, _ in rows] == [
        (name, name in schema["required"]) for name in schema["properties"]
    ]
    described = {name: description for name, _, description in rows}
    assert f"`{schema['properties']['base_url']['default']}`" in described["base_url"]
    assert "secret" in described["api_key"]


def test_the_example_record_becomes_the_example_document() -> None:
    record, expected = re.findall(r"```json\n(.+?)```", README, flags=re.DOTALL)[:2]
    example = document_of(USERS, record)
    assert json.loads(json.dumps(example.payload())) == json.loads(expected)
    assert f"becomes the document `{example.id}`" in README


def test_the_example_of_a_digest_is_real() -> None:
    assert f"`{document_of(USERS, {'id': 'a b'}).id}`" in README


def test_the_page_for_users_explains_each_error_of_dust() -> None:
    page = (ROOT / "docs" / "dust.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `\d{3} (\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(explained) == sorted(MEANINGS)


def test_the_layout_names_each_file() -> None:
    layout = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    patterns = re.findall(r"`([^`\s]+)`", layout)
    suffixes = {".py", ".json", ".txt", ".yml", ".yaml", ".md", ".svg", ".toml"}
    rooms = ("integration_tests/", "integration_tests/*/")
    folders = ("", "destination_dust/", *rooms, "benchmarks/", "docs/")
    files = [
        str(file.relative_to(ROOT))
        for folder in folders
        for file in ROOT.glob(f"{folder}*")
        if file.suffix in suffixes and file.name != "__init__.py"
    ]
    assert len(files) > 40
    assert [file for file in files if not any(fnmatch(file, name) for name in patterns)] == []
