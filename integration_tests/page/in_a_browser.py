"""The local Dust's page in Debian's Chromium: `make test-page`.

A name that pytest does not look for: the other tests do without a browser.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from integration_tests.connector import ROOT, environment
from integration_tests.connector.in_process import sync
from integration_tests.connector.messages import USERS, catalog, record, stream
from integration_tests.local_dust import DataSource, LocalDust, Options
from integration_tests.sample import MESSAGES, read_catalog

FIELDS = "#document h3 + dl > div"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, dust: LocalDust) -> Iterator[Page]:
    """A tab in which nothing fails and which asks nobody but a local Dust."""
    context = browser.new_context(locale="en-US", timezone_id="UTC")
    page = context.new_page()
    failures: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda message: failures.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert failures == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:"))] == []


def visit(page: Page, dust: LocalDust, address: str = "") -> None:
    page.goto(f"{dust.config['base_url']}/{address}")
    expect(page.locator("#streams a").first).to_be_visible()


def shown_fields(page: Page) -> list[tuple[str, str]]:
    """Return the names and values of the document's text, as they are laid out."""
    texts = "divs => divs.map(div => [...div.children].map(child => child.textContent))"
    return [(name, value) for name, value in page.locator(FIELDS).evaluate_all(texts)]


def fields_of(text: str) -> list[tuple[str, str]]:
    """Return the same of a JSON text, with its numbers as they were written."""

    def fields(value: Any) -> Iterator[tuple[str, str]]:
        for name, item in value.items() if isinstance(value, dict) else (("•", v) for v in value):
            if isinstance(item, (dict, list)) and item:
                yield name, ""
                yield from fields(item)
            else:
                yield name, item if isinstance(item, str) else json.dumps(item)

    return list(fields(json.loads(text, parse_int=str, parse_float=str)))


def test_each_document_of_the_sample_is_found_and_opened(page: Page, dust: LocalDust) -> None:
    assert sync(dust.config, read_catalog(), MESSAGES.read_bytes().splitlines()).error is None
    visit(page, dust)
    expect(page.locator("#summary")).to_have_text("1 to 50 of 110 documents, newest first")
    opened = set()
    for size in (50, 50, 10):
        expect(page.locator(".open")).to_have_count(size)
        for link in page.locator(".open").all():
            link.click()
            heading = page.locator("#document h2")
            id_ = link.locator("xpath=ancestor::li").locator(".id").inner_text()
            expect(page.locator("#document dl .id")).to_have_text(id_)
            document = dust.documents[id_]
            assert heading.inner_text() == document["title"]
            assert shown_fields(page) == fields_of(document["text"])
            opened.add(id_)
        page.keyboard.press("Escape")
        if size == 50:
            first = page.locator("#rows .id").first.inner_text()
            page.get_by_role("link", name="Next page").last.click()
            expect(page.locator("#rows .id").first).not_to_have_text(first)
    assert opened == set(dust.documents)


def test_a_search_finds_ids_titles_and_texts_and_shows_where(page: Page, dust: LocalDust) -> None:
    dust.put("a", title="Ann", text='{\n  "note": "likes Tea, always"\n}')
    dust.put("b", title="Green tea")
    dust.put("c", title="Coffee")
    dust.put("teas-750", title="Assam")
    visit(page, dust)
    page.get_by_label("Search ids, titles and texts").fill("tea")
    expect(page.locator("#summary")).to_have_text("3 documents with “tea”, newest first")
    assert sorted(page.locator("#rows .id").all_inner_texts()) == ["a", "b", "teas-750"]
    expect(page.locator("mark")).to_have_text("Tea")
    page.get_by_label("Search ids, titles and texts").fill("nothing has this")
    expect(page.locator("#nothing")).to_have_text("No documents found.")


def test_the_commands_of_the_empty_page_sync_into_it(page: Page, dust: LocalDust) -> None:
    visit(page, dust)
    # The settings of the sample have this port.
    assert "--config config.json " in page.evaluate("sampleSync('8899')")
    commands = page.locator("#nothing pre").inner_text()
    assert str(dust.port) in commands
    script = commands.replace("../../.venv/bin/python", sys.executable)
    subprocess.run(["/bin/bash", "-c", script], cwd=ROOT, env=environment(), check=True)
    expect(page.locator("#summary")).to_have_text("1 to 50 of 110 documents, newest first")


def test_a_stream_narrows_the_list_and_tags_are_not_repeated(page: Page, dust: LocalDust) -> None:
    dust.put("a", tags=["airbyte:stream:users"])
    dust.put("b", tags=["airbyte:stream:users", "airbyte:namespace:shop", "by hand"])
    dust.put("c", tags=["airbyte:stream:orders"])
    visit(page, dust)
    streams = page.locator("#streams a")
    shown = ["All documents\n3", "orders\n1", "users\n1", "shop / users\n1"]
    assert streams.all_inner_texts() == shown
    streams.nth(3).click()
    expect(page.locator("#rows .id")).to_have_text(["b"])
    expect(page.locator("#rows .tag")).to_have_text(["by hand"])
    page.go_back()
    expect(page.locator("#rows .id")).to_have_count(3)
    expect(page.locator("#rows .tag")).to_have_count(5)


def test_a_row_and_a_document_have_the_timestamp_and_when_it_was_stored(page: Page) -> None:
    with LocalDust(Options(now_ms=lambda: 1736365559000)) as dust:
        dust.put("a", timestamp=1736361003000)
        visit(page, dust, "#id=a")
        timestamp, stored = "Jan 8, 2025, 6:30:03 PM", "Jan 8, 2025, 7:45:59 PM"
        expect(page.locator("#rows .times")).to_have_text(f"Timestamp {timestamp}Stored {stored}")
        facts = page.locator("#document dl").first
        expect(facts).to_contain_text(f"Timestamp{timestamp}Stored{stored}")


MARKUP = "<img src=x onerror=hacked=1><script>hacked=1</script><b>bold</b>"


def test_markup_in_a_record_is_shown_and_not_run(page: Page, dust: LocalDust) -> None:
    """Title, id, URL, text, stream, namespace and tags are what strangers wrote."""
    texts = {"title": MARKUP, MARKUP: MARKUP, "nested": {MARKUP: [MARKUP]}}
    data = {"id": MARKUP, "url": "javascript:hacked=1", **texts}
    streams = catalog(stream(MARKUP, "id", namespace=MARKUP))
    lines = [record(MARKUP, data, namespace=MARKUP)]
    assert sync(dust.config, streams, lines).error is None
    visit(page, dust)
    assert f"{MARKUP} / {MARKUP}" in page.locator("#streams a").nth(1).inner_text()
    expect(page.locator("#rows .open")).to_have_text(MARKUP)
    page.get_by_label("Search ids, titles and texts").fill("<b>bold")
    expect(page.locator("mark")).to_have_text("<b>bold")
    page.locator("#rows .open").click()
    expect(page.locator("#document h2")).to_have_text(MARKUP)
    assert shown_fields(page) == fields_of(json.dumps(data))
    tags = page.locator("#document .tag").all_inner_texts()
    assert {f"airbyte:stream:{MARKUP}", f"title:{MARKUP}"} <= set(tags)
    assert page.locator("img, b, body script:not(:last-child)").count() == 0
    assert page.evaluate("typeof hacked") == "undefined"


def test_only_web_addresses_are_links_and_hide_where_they_are(page: Page, dust: LocalDust) -> None:
    dust.put("a", source_url="javascript:hacked=1", timestamp=1736365559000)
    dust.put("b", source_url="https://example.com/b", timestamp=1736365550000)
    visit(page, dust)
    expect(page.locator("#rows li").first).to_contain_text("javascript:hacked=1")
    (link,) = page.locator("a:not([href^='#'])").all()
    assert link.get_attribute("href") == "https://example.com/b"
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert link.inner_text() == "example.com"


def test_a_text_keeps_its_digits_its_order_and_its_lines(page: Page, dust: LocalDust) -> None:
    """Also with texts that look like the layout, and with a line separator in a text."""
    text = (
        '{\n  "b": 10.50,\n  "2": 12345678901234567890,\n  "1": "one\\ntwo",\n  "e": {},\n'
        '  "deep": [\n    [\n      true,\n      null\n    ]\n  ],\n'
        '  "a": "}",\n  "]": "{",\n  "c": [\n    "]",\n    "\\"c\\": 1",\n    "d\u2028e,"\n  ],\n'
        '  "f\\": g": "h"\n}'
    )
    dust.put("a", text=text)
    visit(page, dust, "#id=a")
    expect(page.locator("#document h2")).to_have_text("a")
    assert shown_fields(page) == fields_of(text)
    page.get_by_text("As an agent reads it").click()
    assert page.locator("#document pre").inner_text() == text


@pytest.mark.parametrize("text", ["Dear Ann,\n\nhello.", '{"a":1}', "{\nnot JSON", ""])
def test_any_other_text_is_shown_as_it_is(page: Page, dust: LocalDust, text: str) -> None:
    dust.put("a", text=text)
    visit(page, dust, "#id=a")
    assert page.locator("#document pre").inner_text() == text


def test_a_long_text_is_cut_until_all_of_it_is_asked_for(page: Page, dust: LocalDust) -> None:
    dust.put("a", text=json.dumps({f"field {number}": number for number in range(700)}, indent=2))
    visit(page, dust, "#id=a")
    expect(page.locator(FIELDS)).to_have_count(500)
    page.get_by_role("button", name="Show all 700 lines").click()
    assert len(shown_fields(page)) == 700


def test_a_time_that_no_calendar_has_is_a_number(page: Page, dust: LocalDust) -> None:
    dust.put("a", timestamp=10**17)
    visit(page, dust)
    expect(page.locator("#rows li")).to_contain_text(str(10**17))


def test_the_plot_follows_a_rate_limited_sync(page: Page) -> None:
    limit, window_s = 40, 2.0
    with LocalDust(Options(upserts_per_window=limit, window_s=window_s)) as dust:
        visit(page, dust)
        lines = [record("users", {"id": id_}) for id_ in range(3 * limit)]
        options = {"window_s": window_s, "sleep": time.sleep}
        syncing = threading.Thread(target=sync, args=(dust.config, USERS, lines), kwargs=options)
        syncing.start()
        # Live: some are there, not yet all.
        expect(page.locator("#plot .refusals").first).to_be_visible()
        assert len(dust.documents) < 3 * limit
        syncing.join()
        expect(page.locator("#summary")).to_have_text("1 to 50 of 120 documents, newest first")
        known = [seen for seen in dust.requests if "/data_sources/" in seen.path]
        refusals = sum(seen.method == "POST" for seen in known) - 3 * limit
        expect(page.locator("#legend")).to_contain_text(f"{refusals} rate-limited")
        top, at_limit = (
            page.locator(f"#plot {part}").evaluate("part => part.getBBox().y")
            for part in ("path", ".limit")
        )
    assert top == at_limit


def test_the_plot_says_what_it_counts(page: Page) -> None:
    with LocalDust(Options(upserts_per_window=40)) as dust:
        visit(page, dust)
        expect(page.locator("#legend")).to_contain_text("0 of 40 upserts in the last 60 s")
        for said in ("so a burst appears as a block.", "The other two counts cover 5 minutes."):
            expect(page.locator("figure")).to_contain_text(said)
        expect(page.locator("#plot .limit")).to_have_count(1)
        expect(page.locator("#plot .deletes")).to_have_count(0)
        dust.store.activity[dust.config["workspace_id"]].count("delete")
        expect(page.locator("#plot .deletes")).to_have_count(1)
        expect(page.locator("#legend")).to_contain_text("1 document deleted")


def test_the_plot_says_that_the_rate_limit_is_off(page: Page, dust: LocalDust) -> None:
    for _ in range(3):
        dust.store.activity[dust.config["workspace_id"]].count("upsert")
    visit(page, dust)
    expect(page.locator("figure")).to_contain_text("The rate limit is off.")
    expect(page.locator("#legend")).to_contain_text("3 upserts in the last 60 s")
    expect(page.locator("#scale")).to_have_text("3")
    expect(page.locator("#plot .limit")).to_have_count(0)


def test_the_page_says_what_the_last_sync_did(page: Page, dust: LocalDust) -> None:
    dust.put("left")
    time.sleep(0.01)
    visit(page, dust)
    expect(page.locator("#last-sync")).to_be_hidden()
    assert sync(dust.config, USERS, [record("users", {"id": 1})]).error is None
    shown = page.locator("#last-sync")
    expect(shown).to_contain_text("Last sync, started ")
    expect(shown).to_contain_text("1 document sent, 1 left as they were, 0 deleted")


def test_an_open_document_that_changes_is_drawn_anew(page: Page, dust: LocalDust) -> None:
    dust.put("a", title="Before")
    visit(page, dust, "#id=a")
    expect(page.locator("#document h2")).to_have_text("Before")
    dust.put("a", title="After")
    expect(page.locator("#document h2")).to_have_text("After")
    del dust.documents["a"]
    expect(page.locator("#document")).to_contain_text("There is no document with the id a.")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent"))


def test_everything_is_reached_by_keyboard(page: Page, dust: LocalDust) -> None:
    for number in range(60):
        dust.put(f"n{number:02}", timestamp=1736365559000 - number)
    visit(page, dust)
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.type("n")
    expect(page.locator("#summary")).to_contain_text("with “n”")
    # Past the button that empties the field, if it takes the focus, and "Next page".
    page.keyboard.press("Tab")
    assert focused(page) == "Next page"
    page.keyboard.press("Enter")
    expect(page.locator("#rows .id").first).to_have_text("n50")
    assert focused(page) == "n50"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#document h2")).to_have_text("n51")
    expect(page.locator("#document")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#document")).to_be_hidden()
    assert focused(page) == "n51"


def test_the_focus_stays_while_documents_come_in(page: Page, dust: LocalDust) -> None:
    dust.put("a", timestamp=1736365550000)
    visit(page, dust)
    page.locator(".open").focus()
    dust.put("b", timestamp=1736365559000)
    expect(page.locator("#rows .id")).to_have_text(["b", "a"])
    assert focused(page) == "a"


def test_a_phone_never_scrolls_sideways(page: Page, dust: LocalDust) -> None:
    word = "x" * 300
    text = json.dumps({word: [[[[[[[[word]]]]]]]], "url": f"https://example.com/{word}"}, indent=2)
    tags = [f"airbyte:stream:{word}"]
    dust.put(word, title=word, tags=tags, text=text, source_url=f"https://{word[:60]}.com")
    page.set_viewport_size({"width": 320, "height": 640})
    visit(page, dust)

    def overflow() -> int:
        root = "document.documentElement"
        return int(page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    assert overflow() <= 0
    page.locator(".open").click()
    expect(page.locator("#document h2")).to_be_in_viewport()
    expect(page.locator("#rows")).to_be_hidden()
    page.get_by_text("As an agent reads it").click()
    assert overflow() <= 0
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#rows")).to_be_visible()


def test_the_first_document_is_on_the_first_screen_of_a_phone(page: Page, dust: LocalDust) -> None:
    """Of a small one, with many streams, after a sync; the plot is below."""
    for number in range(30):
        dust.put(f"{number}", title="A title", tags=[f"airbyte:stream:stream number {number}"])
    assert sync(dust.config, USERS, [record("users", {"id": 1})]).error is None
    page.set_viewport_size({"width": 375, "height": 667})
    visit(page, dust)
    expect(page.locator("#last-sync")).to_be_visible()
    expect(page.locator("#rows li").first).to_be_in_viewport(ratio=1)
    page.locator("#plot").scroll_into_view_if_needed()
    expect(page.locator("#plot")).to_be_in_viewport(ratio=1)


def is_under_the_heading(page: Page) -> bool:
    """Return whether the first stream begins where the heading of the streams does."""
    shown = page.locator("#streams-heading, #streams [aria-current]")
    heading, first = shown.evaluate_all("all => all.map(one => one.getBoundingClientRect().left)")
    return bool(heading == first)


def test_a_phones_strip_of_streams_fades_where_it_goes_on(page: Page, dust: LocalDust) -> None:
    """Scrolled to its end, its last stream is clear of the fade."""
    for number in range(9):
        dust.put(f"{number}", tags=[f"airbyte:stream:stream {number}"])
    page.set_viewport_size({"width": 375, "height": 812})
    visit(page, dust)
    assert is_under_the_heading(page)
    strip = page.locator("#streams")
    mask = strip.evaluate("strip => getComputedStyle(strip).maskImage")
    assert mask == "linear-gradient(to left, rgba(0, 0, 0, 0), rgb(0, 0, 0) 64px)"
    strip.evaluate("strip => strip.scrollLeft = strip.scrollWidth")
    ends = page.locator("#streams, #streams li:last-child")
    right, last = ends.evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    assert last < right - 63


@pytest.mark.parametrize("width", [1024, 1280])
def test_streams_and_their_counts_fit_beside_the_documents(
    page: Page, dust: LocalDust, width: int
) -> None:
    for number in range(1000):
        dust.put(f"n{number}", tags=["airbyte:stream:users"])
    page.set_viewport_size({"width": width, "height": 800})
    visit(page, dust)
    assert is_under_the_heading(page)
    boxes = page.locator("nav, #streams, #streams .number")
    assert boxes.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
    heights = page.locator("#streams a").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert len(set(heights)) == 1


def test_several_data_sources_are_chosen_from(page: Page) -> None:
    sources = (DataSource("w", "vlt_1", "dts_1"), DataSource("w", "vlt_1", "dts_2"))
    with LocalDust(Options(data_sources=sources)) as dust:
        dust.store.put(sources[1], "b", {"text": ""})
        visit(page, dust)
        expect(page.locator("#rows .id")).to_have_count(0)
        page.get_by_label("Data source").select_option("w / vlt_1 / dts_2")
        expect(page.locator("#rows .id")).to_have_text(["b"])
        page.reload()
        expect(page.locator("#rows .id")).to_have_text(["b"])


def test_a_hundred_thousand_documents_are_paged_and_searched(page: Page, dust: LocalDust) -> None:
    text = json.dumps({"note": "x" * 500}, indent=2)
    for number in range(100_000):
        dust.put(f"n{number}", text=text, timestamp=1736365559000 - number)
    visit(page, dust, "#offset=99950")
    summary = page.locator("#summary")
    expect(summary).to_have_text("99,951 to 100,000 of 100,000 documents, newest first")
    page.get_by_label("Search ids, titles and texts").fill("n7777")
    expect(summary).to_have_text("11 documents with “n7777”, newest first", timeout=10_000)


def test_the_page_says_when_dust_is_gone_and_goes_on_when_it_is_back(browser: Browser) -> None:
    with LocalDust() as dust:
        page = browser.new_page()
        visit(page, dust)
    expect(page.get_by_text("The local Dust is not responding.")).to_be_visible()
    with LocalDust(port=dust.port) as again:
        again.put("a")
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator("#rows .id")).to_have_text(["a"])
    page.context.close()
