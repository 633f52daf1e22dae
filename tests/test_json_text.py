"""Promises of JSON: strict when read, one line when written."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petsage.json_text import json_line, read_json

TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@given(VALUES | TEXTS)
def test_what_is_written_is_one_line_that_any_reader_reads_back(value):
    line = json_line(value)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == read_json(line) == value


def test_a_lone_surrogate_is_written_as_its_escape():
    assert json_line("\ud800") == b'"\\ud800"\n'


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_lacks_is_not_written(value):
    with pytest.raises(ValueError, match="JSON"):
        json_line(value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a":1,"a":2}', "a key twice"),
        (b"NaN", "NaN is no JSON"),
        (b"[-Infinity]", "-Infinity is no JSON"),
        (b"\xff\xfe1\x00", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1 2", "Extra data"),
    ],
)
def test_what_is_not_exactly_one_json_text_is_refused(body, reason):
    with pytest.raises(ValueError, match=reason):
        read_json(body)
