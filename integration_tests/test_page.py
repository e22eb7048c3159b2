"""What the local Dust's page is drawn from. The page itself is tested in `page/in_a_browser.py`."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from integration_tests.local_dust import LocalDust, Options, page
from integration_tests.local_dust.activity import SHOWN_S, Activity
from integration_tests.local_dust.page import ROWS
from unit_tests.clock import Clock

TEXT = {"text": "t"}


def ask(dust: LocalDust, path: str, **query: str | int) -> requests.Response:
    return requests.get(f"{dust.config['base_url']}/local/{path}", params=query, timeout=10)


def send(
    dust: LocalDust, session: requests.Session, method: str, id_: str, body: object = None
) -> None:
    """Send a request for a document over the session's connection, as a connector does."""
    path = "/api/v1/w/{workspace_id}/spaces/{space_id}/data_sources/{data_source_id}/documents/"
    key = {"Authorization": f"Bearer {dust.config['api_key']}"}
    url = dust.config["base_url"] + path.format_map(dust.config) + id_
    session.request(method, url, json=body, headers=key, timeout=10)


def listed(dust: LocalDust, **query: str | int) -> list[str]:
    """Return the ids of the documents that a query finds."""
    return [row["document_id"] for row in ask(dust, "documents", **query).json()["rows"]]


def test_streams_are_shown_with_their_counts(dust: LocalDust) -> None:
    dust.put("a", tags=["airbyte:stream:users"])
    dust.put("b", tags=["airbyte:stream:users", "by hand"])
    dust.put("c", tags=["airbyte:namespace:shop", "airbyte:stream:users"])
    dust.put("d", tags=["by hand"])
    shown = ask(dust, "documents").json()
    assert shown["total"] == 4
    assert shown["streams"] == [
        {"name": "users", "namespace": "", "documents": 2},
        {"name": "users", "namespace": "shop", "documents": 1},
    ]
    assert listed(dust, stream="users", namespace="shop") == ["c"]
    assert sorted(listed(dust, stream="users")) == ["a", "b"]


def test_a_search_finds_ids_titles_and_texts_whatever_their_case(dust: LocalDust) -> None:
    dust.put("id-strasse.1", title="x")
    dust.put("title", title="Straße.", text="x")
    dust.put("text", text="Über die STRASSE.")
    dust.put("neither", text="strasses")
    assert sorted(listed(dust, search=" strasse. ")) == ["id-strasse.1", "text", "title"]


def test_an_excerpt_shows_where_a_text_matches(dust: LocalDust) -> None:
    dust.put("a", text=f"{'-' * 500}before Fo(nd after{'-' * 500}")
    (row,) = ask(dust, "documents", search="fO(ND").json()["rows"]
    before, found, after = row["excerpt"]
    assert (before[-7:], found, after[:6]) == ("before ", "Fo(nd", " after")
    assert max(map(len, (before, after))) <= 100


def test_a_list_is_cut_and_goes_on_at_an_offset(dust: LocalDust) -> None:
    for number in range(ROWS + 3):
        dust.put(str(number), timestamp=1736365559000 - number)
    assert ask(dust, "documents").json()["matching"] == ROWS + 3
    assert listed(dust) == [str(number) for number in range(ROWS)]
    assert listed(dust, offset=ROWS) == [str(number) for number in range(ROWS, ROWS + 3)]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("documents", {"offset": "-1"}, 400),
        ("documents", {"offset": "1" * 5000}, 400),
        ("activity", {"source": ""}, 400),
        ("document", {"source": "1"}, 404),
    ],
    ids=["negative", "long", "empty", "unknown"],
)
def test_what_is_not_there_is_not_shown(
    dust: LocalDust, path: str, query: dict[str, str], status: int
) -> None:
    assert ask(dust, path, **query).status_code == status


def test_each_change_gives_another_version(dust: LocalDust) -> None:
    versions = [dust.documents.version]
    for change in (dust.put, dust.put, dust.documents.pop):
        change("a")
        versions.append(ask(dust, "activity").json()["version"])
    assert versions == sorted(set(versions))


def test_activity_counts_the_upserts_of_the_window_and_the_rest_by_the_second() -> None:
    clock = Clock()
    activity = Activity(window_s=60, clock=clock)
    for what, wait_s in (("upsert", 0), ("upsert", 59), ("refusal", 0), ("delete", 0)):
        activity.count(what)
        clock.sleep(wait_s)
    shown = activity.shown()
    assert shown["used"] == [0] * (SHOWN_S - 60) + [2] * 60
    assert shown["refusals"] == shown["deletes"] == [0] * (SHOWN_S - 1) + [1]
    clock.sleep(1)
    activity.count("upsert")
    shown = activity.shown()
    assert shown["used"] == [0] * (SHOWN_S - 61) + [2] * 60 + [1]
    assert shown["refusals"] == [0] * (SHOWN_S - 2) + [1, 0]


def test_upserts_refusals_and_deletes_are_counted() -> None:
    """As the limit counts them: an upsert that is refused for its content has taken a slot."""
    with LocalDust(Options(upserts_per_window=2)) as dust, requests.Session() as session:
        send(dust, session, "POST", "a", TEXT)
        send(dust, session, "POST", "b", {**TEXT, "source_url": "bad"})
        send(dust, session, "POST", "c", TEXT)
        send(dust, session, "DELETE", "a")
        shown = ask(dust, "activity").json()
    assert (shown["limit"], shown["window_s"]) == (2, 60)
    assert max(shown["used"]) == 2
    assert (sum(shown["refusals"]), sum(shown["deletes"])) == (1, 1)


def test_the_last_sync_sent_left_and_deleted_documents() -> None:
    now_ms = [1736365559000]
    with (
        LocalDust(Options(now_ms=lambda: now_ms[0])) as dust,
        requests.Session() as earlier,
        requests.Session() as later,
    ):
        for id_ in ("sent again", "left", "deleted"):
            send(dust, earlier, "POST", id_, TEXT)
        assert ask(dust, "documents").json()["last_sync"]["sent"] == 3
        now_ms[0] += 1
        send(dust, later, "POST", "sent again", TEXT)
        send(dust, later, "DELETE", "deleted")
        now_ms[0] += 1
        send(dust, later, "POST", "new", TEXT)
        shown = ask(dust, "documents").json()["last_sync"]
    assert shown == {"started": 1736365559001, "sent": 2, "left": 1, "deleted": 1}


def test_a_check_is_not_a_sync_and_changes_nothing(dust: LocalDust) -> None:
    """It lists, and deletes a document that does not exist."""
    with requests.Session() as session:
        send(dust, session, "GET", "")
        send(dust, session, "DELETE", "airbyte.check.1")
    assert ask(dust, "documents").json()["last_sync"] is None
    shown = ask(dust, "activity").json()
    assert (shown["version"], sum(shown["deletes"])) == (0, 0)


def test_only_the_pages_own_script_and_style_may_run(dust: LocalDust) -> None:
    """Each by the digest of what is in the page, and nothing from anywhere else."""
    response = requests.get(dust.config["base_url"], timeout=10)
    directives = response.headers["Content-Security-Policy"].split("; ")
    policy = dict(directive.split(" ", 1) for directive in directives)
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", response.text, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    # So the browser makes no markup or script of a text.
    assert policy["require-trusted-types-for"] == "'script'"


def luminance(colour: str) -> float:
    """Return how bright a colour such as #ffffff is, as WCAG 2 counts it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_each_word_stands_out_from_its_ground(scheme: int) -> None:
    """At least 4.5 to 1, which WCAG 2 asks for at level AA."""
    html = Path(page.__file__).with_name("page.html").read_text(encoding="utf-8")
    colours = re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", html)
    lights = {name: luminance(both[scheme]) + 0.05 for name, *both in colours}
    pairs = [
        (word, on) for word in ("ink", "quiet", "accent") for on in ("ground", "surface", "raised")
    ]
    for pair in (*pairs, ("ink", "marked")):
        dark, light = sorted(lights[name] for name in pair)
        assert light / dark >= 4.5, pair
