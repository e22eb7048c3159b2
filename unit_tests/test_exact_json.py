from __future__ import annotations

import pytest

from destination_dust import exact_json
from destination_dust.exact_json import Number


@pytest.mark.parametrize(
    "literal",
    [
        pytest.param("-0", id="negative-zero"),
        pytest.param("9" * 5000, id="longer-than-python-converts"),
        pytest.param("1.10", id="trailing-zero"),
        pytest.param("1e400", id="beyond-the-largest-double"),
        pytest.param("-1.5E-7", id="exponent"),
    ],
)
def test_a_number_keeps_every_digit(literal: str) -> None:
    assert exact_json.loads(literal) == Number(literal)
    assert exact_json.dumps(exact_json.loads(f'{{"n":[{literal}]}}')) == f'{{"n":[{literal}]}}'


def test_other_values_are_read_as_usual() -> None:
    text = ' {"a": [true, false, null], "b": "first", "b": {"c": "d\\n\\u00e9"}} '

    assert exact_json.loads(text) == {"a": [True, False, None], "b": {"c": "d\né"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"a": "hunter2', "it is not JSON at character 7", id="truncated"),
        pytest.param('{"hunter2": 1} x', "it is not JSON at character 16", id="more-after-it"),
        pytest.param('"hunter2\n"', "it is not JSON at character 9", id="raw-control-character"),
        pytest.param('["hunter2", NaN]', "it holds NaN or Infinity", id="nan"),
        pytest.param('["hunter2",' * 100_000, "it nests too deeply", id="too-deep"),
    ],
)
def test_what_is_not_json_is_refused_without_quoting_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as refused:
        exact_json.loads(text)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_deep_json_is_written_as_it_was_read() -> None:
    text = "[" * 400 + "]" * 400

    assert exact_json.dumps(exact_json.loads(text)) == text


@pytest.mark.parametrize(
    ("read", "written"),
    [
        pytest.param(r'"\u00e9\ud83d\ude00"', '"é😀"', id="non-ascii-as-it-is"),
        pytest.param(r'"\ud800"', r'"\ud800"', id="lone-high-surrogate"),
        pytest.param(r'{"\udfff": "a\udc00b"}', r'{"\udfff":"a\udc00b"}', id="lone-low-surrogate"),
        pytest.param(r'"\\ud800"', r'"\\ud800"', id="escaped-backslash"),
        pytest.param(r'"\"\\\/\n\u0001"', r'"\"\\/\n\u0001"', id="what-json-must-escape"),
    ],
)
def test_text_is_written_so_that_it_can_be_encoded_as_utf8(read: str, written: str) -> None:
    text = exact_json.dumps(exact_json.loads(read))

    assert text == written
    assert exact_json.loads(text) == exact_json.loads(read)
    assert text.encode("utf-8").decode("utf-8") == text


NINES = "9" * 255


@pytest.mark.parametrize(
    ("literals", "plain"),
    [
        pytest.param("7000 7E+3 7e3 7000.0 70e2 0.7e4 700000e-2", "7000", id="integer"),
        pytest.param("-12.340 -1234e-2 -0.01234E3", "-12.34", id="negative"),
        pytest.param("0 -0 0.0 -0.0e9 0e999999999", "0", id="zero"),
        pytest.param("12345678901234567890123456789", "12345678901234567890123456789", id="29"),
        pytest.param("1e999999999 10e999999998 0.1E1000000000", "1e999999999", id="huge"),
        pytest.param("-1e-999999999 -0.10e-999999998", "-1e-999999999", id="tiny"),
        pytest.param(f"{NINES} {NINES}.0", NINES, id="255-digits"),
        pytest.param(f"-{NINES}", f"-{NINES}e0", id="255-digits-and-a-sign"),
        pytest.param("1e254", "1" + "0" * 254, id="254-zeros"),
        pytest.param("1e255 1" + "0" * 255, "1e255", id="255-zeros"),
        pytest.param("1e-253", "0." + "0" * 252 + "1", id="253-decimals"),
        pytest.param("1e-254 0." + "0" * 253 + "1", "1e-254", id="254-decimals"),
        pytest.param("11." + "1" * 252, "11." + "1" * 252, id="252-decimals-and-an-integer"),
        pytest.param("11." + "1" * 253, "1" * 255 + "e-253", id="253-decimals-and-an-integer"),
    ],
)
def test_equal_numbers_have_one_plain_form(literals: str, plain: str) -> None:
    """Without an exponent up to 255 characters, else as digits and exponent."""
    for literal in literals.split():
        value = exact_json.with_plain_numbers({"a": [Number(literal), literal]})
        assert value == {"a": [Number(plain), literal]}
