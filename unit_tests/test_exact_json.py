from __future__ import annotations

import pytest

from destination_dust import exact_json
from destination_dust.exact_json import MAX_NESTING, Number


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


@pytest.mark.parametrize(
    "literal",
    [
        pytest.param("0", id="zero"),
        pytest.param("-0", id="negative-zero"),
        pytest.param("9007199254740993", id="beyond-a-double"),
        pytest.param("18446744073709551616", id="beyond-64-bits"),
        pytest.param("9" * 5000, id="longer-than-python-converts"),
        pytest.param("1.10", id="trailing-zero"),
        pytest.param("0." + "1234567890" * 10, id="long-decimal"),
        pytest.param("1e400", id="no-infinity"),
        pytest.param("-1.5E-7", id="exponent"),
    ],
)
def test_a_number_keeps_every_digit(literal: str) -> None:
    assert exact_json.loads(literal) == Number(literal)
    assert exact_json.dumps(exact_json.loads(f'{{"n":[{literal}]}}')) == f'{{"n":[{literal}]}}'


def test_values_that_are_no_numbers_are_read_as_in_python() -> None:
    value = exact_json.loads(' {"a": [true, false, null], "b": {"c": "d\\n\\u00e9"}} ')

    assert value == {"a": [True, False, None], "b": {"c": "d\né"}}


def test_of_a_repeated_key_the_last_value_counts() -> None:
    assert exact_json.loads('{"a": "first", "a": "last"}') == {"a": "last"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "it is not JSON at character 1", id="empty"),
        pytest.param('{"a": "hunter2', "it is not JSON at character 7", id="truncated"),
        pytest.param('{"hunter2": 1} x', "it is not JSON at character 16", id="more-after-it"),
        pytest.param('["hunter2", 01]', "it is not JSON at character 14", id="leading-zero"),
        pytest.param('"hunter2\n"', "it is not JSON at character 9", id="raw-control-character"),
        pytest.param('["hunter2", NaN]', "it holds NaN or Infinity", id="nan"),
        pytest.param('["hunter2", Infinity]', "it holds NaN or Infinity", id="infinity"),
        pytest.param('["hunter2", -Infinity]', "it holds NaN or Infinity", id="minus-infinity"),
    ],
)
def test_what_is_not_json_is_refused_without_quoting_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as refused:
        exact_json.loads(text)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(nested(MAX_NESTING + 1), id="arrays"),
        pytest.param('{"a":' * MAX_NESTING + "[]" + "}" * MAX_NESTING, id="objects"),
        pytest.param(nested(100_000), id="beyond-the-parser"),
    ],
)
def test_what_nests_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it nests deeper than 500 levels$"):
        exact_json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(nested(MAX_NESTING), id="deepest"),
        pytest.param('{"a":' * (MAX_NESTING - 1) + "{}" + "}" * (MAX_NESTING - 1), id="objects"),
        pytest.param("[" + ",".join(["[]"] * 1000) + "]", id="wide"),
        pytest.param('{"a":"' + "[{" * 1000 + '"}', id="brackets-in-a-string"),
    ],
)
def test_what_nests_less_is_read_and_written(text: str) -> None:
    assert exact_json.dumps(exact_json.loads(text)) == text


def test_compact_json_has_no_white_space_and_keeps_the_order_of_keys() -> None:
    value = exact_json.loads('{"b": [1, "x y", {}], "a": {"d": [], "c": null}}')

    assert exact_json.dumps(value) == '{"b":[1,"x y",{}],"a":{"d":[],"c":null}}'


def test_indented_json_has_each_item_on_its_own_line() -> None:
    value = exact_json.loads('{"b":[1.0,[true]],"a":{},"c":[]}')

    assert exact_json.dumps_indented(value) == (
        '{\n  "b": [\n    1.0,\n    [\n      true\n    ]\n  ],\n  "a": {},\n  "c": []\n}'
    )


def test_sorted_keys_are_sorted_on_every_level() -> None:
    value = exact_json.loads('{"b": [{"z": 1, "y": 2}], "B": 3, "a": {"d": 4, "c": 5}}')

    assert exact_json.dumps(value, sort_keys=True) == (
        '{"B":3,"a":{"c":5,"d":4},"b":[{"y":2,"z":1}]}'
    )


@pytest.mark.parametrize(
    ("read", "written"),
    [
        pytest.param(r'"\u00e9\ud83d\ude00"', '"é😀"', id="non-ascii-as-it-is"),
        pytest.param(r'"\ud800"', r'"\ud800"', id="lone-high-surrogate"),
        pytest.param(r'{"\udfff": "a\udc00b"}', r'{"\udfff":"a\udc00b"}', id="lone-low-surrogate"),
        pytest.param(r'"\\ud800"', r'"\\ud800"', id="backslash-that-only-looks-like-one"),
        pytest.param(r'"\"\\\/\n\u0001"', r'"\"\\/\n\u0001"', id="what-json-must-escape"),
    ],
)
def test_text_is_written_so_that_utf8_can_hold_it(read: str, written: str) -> None:
    text = exact_json.dumps(exact_json.loads(read))

    assert text == written
    assert exact_json.loads(text) == exact_json.loads(read)
    assert text.encode("utf-8").decode("utf-8") == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"b":[1.10,[],{},[{}]],"a":{"d":1e400,"c":[null,true]}}', id="containers"),
        pytest.param(r'["\u0000\u001f\u007f\b\f\n\r\t\"\\/\u2028é😀"]', id="escapes"),
        pytest.param('{"é":1,"😀":2,"\uffff":3,"z":4,"":5}', id="order-of-keys"),
        pytest.param('""', id="scalar"),
    ],
)
def test_a_lone_surrogate_changes_nothing_but_itself(text: str) -> None:
    """Such texts take a way of their own."""
    value = exact_json.loads(text)

    usual = exact_json.dumps_indented([value, "?"])
    with_surrogate = exact_json.dumps_indented([value, "\ud800"])

    assert with_surrogate == usual.replace('"?"', r'"\ud800"')


@pytest.mark.parametrize("levels", [200, 250, 260, MAX_NESTING])
def test_deep_nesting_is_written_whatever_stands_around_it(levels: int) -> None:
    """The compact form of older orjsons writes beyond its buffer here."""
    inner = levels - 1
    for padding in range(0, 1200, 7):
        text = f'["{"x" * padding}",' + '{"":' * inner + "1.0" + "}" * inner + "]"
        value = exact_json.loads(text)

        assert exact_json.dumps(value) == text
        assert exact_json.dumps(exact_json.loads(exact_json.dumps_indented(value))) == text


def test_a_float_without_a_json_word_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        exact_json.dumps({"a": [float("nan")]})


def test_what_json_has_no_form_for_is_not_written() -> None:
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        exact_json.dumps({"a": [object()]})
