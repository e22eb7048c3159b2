"""The pages say what the connector does, and twice the same where two of them say it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests_mock
from airbyte_cdk.models import DestinationSyncMode
from requests_mock import ANY

from destination_dust.catalog import configured_streams, read_catalog
from destination_dust.client import PAGE_DOCUMENTS
from destination_dust.destination import DestinationDust
from destination_dust.document import (
    MAX_ID_CHARACTERS,
    MAX_INDENTED_CHARACTERS,
    MAX_TITLE_UTF16_UNITS,
    TITLE_FIELDS,
    URL_FIELDS,
)
from destination_dust.failures import MEANINGS, Failure, Response
from destination_dust.protocol import read_messages
from destination_dust.rate_limit import MAX_RETRIES
from destination_dust.replacement import WhyKept
from destination_dust.transport import READ_TIMEOUT_S
from destination_dust.writer import MOST_LISTED, SHORT_SYNC_UPSERTS
from unit_tests.builders import USERS, catalog_of, configured, document_of
from unit_tests.rate_limit_simulation import LIMIT, SCENARIOS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "destination_dust"
NUMBERS = ("no", "one", "two", "three", "four", "five")
SPEC = json.loads((PACKAGE / "spec.json").read_bytes())
SETTINGS = SPEC["connectionSpecification"]["properties"]
README, DUST, CONTRIBUTING, MAKEFILE = (
    (ROOT / page).read_text(encoding="utf-8")
    for page in ("README.md", "docs/dust.md", "CONTRIBUTING.md", "Makefile")
)


def section(page: str, title: str) -> str:
    """Return what is below a heading."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.+?)(?=^#|\Z)", page, re.DOTALL | re.MULTILINE)
    return str(text)


def table(text: str) -> list[list[str]]:
    """Return the rows of a table below its heading, as cells."""
    lines = [line for line in text.splitlines() if " | " in line and set(line) - set("|-: ")]
    assert len(lines) > 1
    return [line.strip("| ").split(" | ") for line in lines[1:]]


def block(text: str, language: str) -> str:
    """Return what is in the first code block of a language."""
    return text.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def json_below(sentence: str) -> str:
    """Return the first JSON example below a sentence of the README."""
    return block(README.split(sentence, 1)[1], "json")


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


def test_the_settings_file_of_the_readme_holds_each_setting() -> None:
    assert list(json.loads(json_below("`secrets/config.json`"))) == list(SETTINGS)


def test_the_catalog_of_the_readme_configures_the_stream_of_its_input(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(json_below("A `catalog.json`"))
    assert list(configured_streams(read_catalog(str(file)))) == [USERS]
    (message,) = read_messages(json_below("A `messages.jsonl`").encode().splitlines())
    assert message.record
    assert message.record.stream == USERS.name


def test_the_lines_that_end_a_stream_have_what_is_gone_deleted(http: requests_mock.Mocker) -> None:
    settings = json.loads(json_below("`secrets/config.json`"))
    lines = json_below("A `messages.jsonl`") + json_below("end the input with these two")
    gone = {"document_id": "users-8", "tags": USERS.tags, "created": 1}
    http.get(ANY, json=lambda request, _: {"documents": [] if "offset" in request.qs else [gone]})
    http.post(ANY, json={"document": {"hash": "0", "created": 2**41 + 1}})
    http.delete(ANY, json={"document": {"document_id": "users-8"}})

    catalog = catalog_of(
        configured("users", primary_key=[["id"]], mode=DestinationSyncMode.overwrite)
    )
    list(DestinationDust().write(settings, catalog, read_messages(lines.encode().splitlines())))

    assert http.request_history[-1].method == "DELETE"


def test_the_example_record_becomes_the_example_document() -> None:
    record, expected = re.findall(r"```json\n(.+?)```", README, flags=re.DOTALL)[:2]
    example = document_of(USERS, record)
    request = json.loads(json.dumps(example.payload()))
    # What the connector asks for beside the document.
    del request["light_document_output"], request["async"]
    assert request == json.loads(expected)
    assert f"becomes the document `{example.id}`" in README
    digest = document_of(USERS, {"id": "a b"}).id
    assert f"`{digest}`" in README


def test_the_example_of_a_failure_is_real() -> None:
    said = {"type": "workspace_quota_error", "message": "You've exceeded your plan limit."}
    failure = Failure.of(Response(403, "https://dust.tt", {"error": said}))
    quotation = re.findall(r"^> (.+)$", README, flags=re.MULTILINE)
    error = failure.error("upsert document 'orders-9' of stream 'orders'", None)
    assert " ".join(quotation) == str(error)


@pytest.mark.parametrize(
    ("title", "first_cells"),
    [
        ("Step 1: Look up the settings in Dust", [one["title"] for one in SETTINGS.values()]),
        ("Documents of earlier syncs were kept", [reason.value[0] for reason in WhyKept]),
    ],
    ids=["settings", "reasons to keep"],
)
def test_a_table_for_users_has_a_row_for_each(title: str, first_cells: list[str]) -> None:
    assert [row[0] for row in table(section(DUST, title))] == first_cells


def test_the_sync_modes_are_those_of_the_spec() -> None:
    names = [name for name, _ in table(section(README, "Sync modes"))]
    modes = {name.partition(" - ")[2].lower().replace(" + deduped", "_dedup") for name in names}
    # Airbyte itself adds this one, and sends one of the others in its place.
    assert modes - {"overwrite_dedup"} == set(SPEC["supported_destination_sync_modes"])


def test_the_times_of_syncs_are_what_the_rate_limit_allows() -> None:
    rows = table(section(README, "What a second sync costs"))
    for cell, first, next_ in rows:
        records = int(cell.replace(",", ""))
        upserts = min(records, SHORT_SYNC_UPSERTS) + records // 100
        assert (first, next_) == (time_for(records), time_for(upserts))


def time_for(upserts: int) -> str:
    """Return how long so many upserts wait for the rate limit, as the page says it."""
    minutes = upserts // LIMIT
    if minutes < 1:
        return "under 1 min"
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"


@pytest.mark.parametrize(
    ("page", "phrase"),
    [
        ("README.md", f"has sent {SHORT_SYNC_UPSERTS} records"),
        ("README.md", f"{PAGE_DOCUMENTS:,} per request"),
        ("README.md", f"at most {MOST_LISTED:,} documents"),
        ("README.md", f"accepts {LIMIT} upserts per workspace in any 60 seconds"),
        ("README.md", f"cut at {MAX_ID_CHARACTERS} characters"),
        ("README.md", f"times out after {READ_TIMEOUT_S:.0f} s"),
        ("README.md", f"after {NUMBERS[MAX_RETRIES]} retries"),
        ("docs/dust.md", f"unless longer than {MAX_INDENTED_CHARACTERS:,} characters"),
        ("docs/dust.md", f"At most {MAX_TITLE_UTF16_UNITS} characters"),
    ],
)
def test_a_number_on_a_page_is_that_of_the_source(page: str, phrase: str) -> None:
    assert phrase in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(("row", "fields"), [("title", TITLE_FIELDS), ("source URL", URL_FIELDS)])
def test_the_page_for_users_lists_the_fields_of_the_source_in_their_order(
    row: str, fields: tuple[str, ...]
) -> None:
    rows = dict(table(section(DUST, "Output")))
    assert ", ".join(f"`{field}`" for field in fields) in rows[row]


def test_the_promise_on_a_lone_sync_is_that_of_the_simulation() -> None:
    ((promise,),) = (one.promises for one in SCENARIOS if str(one) == "200 records alone")
    assert f"200 records takes at most {promise.most - 1:.0%} longer" in README


def test_the_page_for_users_gives_the_advice_on_each_error_of_dust() -> None:
    rows = table(section(DUST, "Dust answered with an error"))
    advice = {name: advice for names, advice in rows for name in names.strip("`").split("`, `")}
    assert advice == {name: meaning.advice for name, meaning in MEANINGS.items()}


def test_the_drawing_names_files_that_exist() -> None:
    drawing = block(section(CONTRIBUTING, "How a record flows through the code"), "mermaid")
    named = set(re.findall(r"\w+\.py", drawing))
    assert len(named) > 5
    assert named <= {path.name for path in PACKAGE.iterdir()}


def test_make_lists_each_command_and_the_pages_name_no_other() -> None:
    (targets,) = re.findall(r"^\.PHONY: (help .+)$", MAKEFILE, flags=re.MULTILINE)
    listed = re.findall(r"^([\w-]+):.*## ", MAKEFILE, flags=re.MULTILINE)
    assert sorted(listed) == sorted(targets.split())
    command = r"(?:`|^)make ([a-z]+(?:-[a-z]+)*)\b"
    named = set(re.findall(command, README + CONTRIBUTING, flags=re.MULTILINE))
    assert len(named) > 5
    assert named <= set(listed)


def test_what_a_table_names_is_in_the_files_that_it_names() -> None:
    for _, where in table(section(CONTRIBUTING, "Where to find what")):
        named = re.findall(r"`(\S+)`", where)
        files = [name for name in named if "." in name]
        sources = "".join((PACKAGE / name).read_text(encoding="utf-8") for name in files)
        assert files
        assert [name for name in named if name not in files and name not in sources] == []


def test_each_file_that_a_table_explains_exists() -> None:
    rows = table(section(CONTRIBUTING, "Outside the package"))
    assert [path for path, _ in rows if not (ROOT / path.strip("`")).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/dust.md"])
def test_each_link_within_the_project_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", (ROOT / page).read_text("utf-8"))
    assert links
    for path, anchor in links:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), path
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), flags=re.MULTILINE)
            words = (re.sub(r"[^\w -]", "", heading).lower() for heading in headings)
            assert anchor in {heading.replace(" ", "-") for heading in words}
