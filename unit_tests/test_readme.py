"""The pages say what the connector does, and twice the same where two of them say it."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from destination_dust import environment, failures, replacement, transport
from destination_dust.failures import MEANINGS, Answer, Failure
from unit_tests.builders import USERS, document_of
from unit_tests.rate_limit_simulation import SCENARIOS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "destination_dust"
SPEC = json.loads((PACKAGE / "spec.json").read_bytes())
SETTINGS = SPEC["connectionSpecification"]["properties"]
README, DUST, CONTRIBUTING = (
    (ROOT / page).read_text(encoding="utf-8")
    for page in ("README.md", "docs/dust.md", "CONTRIBUTING.md")
)


def section(page: str, title: str) -> str:
    """Return what is below a heading."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.+?)(?=^#|\Z)", page, re.DOTALL | re.MULTILINE)
    return str(text)


def table(text: str) -> list[list[str]]:
    """Return the rows of a table below its heading, as cells."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def block(text: str, language: str) -> str:
    """Return what is in the first code block of a language."""
    return text.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def test_the_settings_of_the_readme_are_those_of_the_spec() -> None:
    required = SPEC["connectionSpecification"]["required"]
    rows = table(section(README, "Settings"))
    assert [row[:2] for row in rows] == [
        [f"`{name}`", "Yes" if name in required else "No"] for name in SETTINGS
    ]
    assert f"(default: `{SETTINGS['base_url']['default']}`" in rows[-1][-1]
    assert [name for name, _, description in rows if "secret" in description] == [
        f"`{name}`" for name, setting in SETTINGS.items() if setting.get("airbyte_secret")
    ]


def test_the_page_for_users_has_the_settings_by_their_titles() -> None:
    rows = table(section(DUST, "Step 1: In Dust"))
    assert [row[0] for row in rows] == [setting["title"] for setting in SETTINGS.values()]


def test_the_settings_file_of_the_readme_holds_each_setting() -> None:
    assert list(json.loads(block(section(README, "Run it"), "json"))) == list(SETTINGS)


def test_the_example_record_becomes_the_example_document() -> None:
    record, expected = re.findall(r"```json\n(.+?)```", README, flags=re.DOTALL)[:2]
    example = document_of(USERS, record)
    assert json.loads(json.dumps(example.payload())) == json.loads(expected)
    assert f"becomes the document `{example.id}`" in README


def test_the_example_of_a_digest_is_real() -> None:
    assert f"`{document_of(USERS, {'id': 'a b'}).id}`" in README


def test_the_example_of_a_failure_is_real() -> None:
    error = {
        "type": "data_source_not_found",
        "message": "The data source you requested was not found.",
    }
    failure = Failure.of(Answer(404, "https://dust.tt", {"error": error}))
    quotation = re.findall(r"^> (.+)$", README, flags=re.MULTILINE)
    assert " ".join(quotation) == str(
        failure.error("upsert document 'orders-9' of stream 'orders'", None)
    )


def test_both_pages_say_the_same_of_each_sync_mode() -> None:
    rows = table(section(README, "What happens in Dust"))
    assert rows == table(section(DUST, "Supported sync modes"))
    modes = {name.partition(" - ")[2].lower().replace(" + deduped", "_dedup") for name, _ in rows}
    # Airbyte itself adds this one, and sends one of the others in its place.
    assert modes - {"overwrite_dedup"} == set(SPEC["supported_destination_sync_modes"])


def test_the_promises_on_the_rate_limit_are_those_of_the_simulation() -> None:
    promises = [
        [str(scenario), promise.figure, str(promise)]
        for scenario in SCENARIOS
        for promise in scenario.promises
    ]
    rows = table(section(README, "The rate limit"))
    assert rows
    assert [row for row in rows if row not in promises] == []


def troubleshooting() -> dict[str, str]:
    """Return the advice of the page for users by each of the words that it quotes."""
    lines = section(DUST, "Troubleshooting").replace("\n  ", " ").splitlines()
    items = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    found = [re.fullmatch(r"((?:`[^`]+`(?:, )?)+): (.+)", item) for item in items]
    assert None not in found
    return {words: match[2] for match in found if match for words in match[1][1:-1].split("`, `")}


def test_the_page_for_users_gives_the_advice_on_each_error_of_dust() -> None:
    advice = {name: text for name, text in troubleshooting().items() if name in MEANINGS}
    assert advice == {name: meaning.advice for name, meaning in MEANINGS.items()}


def said_by(module: ModuleType) -> list[str]:
    """Return what a module says of failures, with "..." for what varies in it."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
    said = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "said"]
    said += [node.value for node in nodes if isinstance(node, ast.Return) and node.value]
    said += [
        node.args[0]
        for node in nodes
        if isinstance(node, ast.Call) and re.fullmatch(r"Dust\w+Error", ast.unparse(node.func))
    ]
    texts = [node.values if isinstance(node, ast.JoinedStr) else [node] for node in said]
    return [
        "...".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        for parts in texts
        if any(isinstance(part, ast.Constant) and " " in str(part.value) for part in parts)
    ]


def why_documents_were_kept() -> list[str]:
    """Return the reasons that the warnings of a sweep give."""
    return [
        value
        for name, value in vars(replacement).items()
        if re.fullmatch("_[A-Z_]+", name) and isinstance(value, str) and " " in value
    ]


NETWORK = [*(problem.said for problem in transport.PROBLEMS), *said_by(environment)]


@pytest.mark.parametrize("message", [*NETWORK, *said_by(replacement), *why_documents_were_kept()])
def test_the_page_for_users_explains_each_failure_of_the_network_and_of_a_sweep(
    message: str,
) -> None:
    assert any(words in message for words in troubleshooting())


def test_the_page_for_users_quotes_what_is_said() -> None:
    said = [*NETWORK, *said_by(failures), *said_by(replacement), *why_documents_were_kept()]
    quoted = troubleshooting().keys() - MEANINGS.keys()
    assert [words for words in quoted if not any(words in message for message in said)] == []


def test_the_drawing_names_files_that_exist() -> None:
    drawing = block(section(CONTRIBUTING, "The way of a record and its STATE"), "mermaid")
    named = set(re.findall(r"\w+\.py", drawing))
    assert len(named) > 5
    assert {name for name in named if not (PACKAGE / name).is_file()} == set()


def test_the_commands_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)
    commands = block(section(CONTRIBUTING, "Commands"), "text")
    assert sorted(re.findall(r"^make ([\w-]+)", commands, re.MULTILINE)) == sorted(targets.split())


def layout() -> dict[str, set[Path]]:
    """Return the files that each path of the layout stands for, whose indentation shows folders."""
    folders: list[str] = []
    found = {}
    for line in block(section(CONTRIBUTING, "Layout"), "text").splitlines():
        name = line.split()[0]
        del folders[(len(line) - len(line.lstrip())) // 2 :]
        if name.endswith("/"):
            folders.append(name)
        else:
            path = "".join([*folders, name])
            found[path] = set(ROOT.glob(path))
    return found


def test_the_layout_names_each_file() -> None:
    kinds = {".py", ".json", ".jsonl", ".txt", ".yml", ".yaml", ".md", ".svg", ".toml"}
    folders = ("destination_dust", "unit_tests", "integration_tests", "benchmarks", "docs")
    files = {
        file
        for paths in (ROOT.iterdir(), *((ROOT / folder).rglob("*") for folder in folders))
        for file in paths
        if file.suffix in kinds and file.name != "__init__.py" and "node_modules" not in file.parts
    }
    assert len(files) > 80
    assert files - set().union(*layout().values()) == set()


def test_the_layout_names_no_file_that_is_gone() -> None:
    assert [path for path, files in layout().items() if not files] == []


@pytest.mark.parametrize("page", ["README.md", "docs/dust.md", "CONTRIBUTING.md"])
def test_each_link_within_the_project_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", (ROOT / page).read_text("utf-8"))
    for path, anchor in links:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), path
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), flags=re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
