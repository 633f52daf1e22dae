"""Promises of foreign text: one bounded line that nothing acts on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petsage.printable import LIMIT, ascii_line, escaped, one_line

HOSTILE = [
    "\x00",
    "\x1b[31m",
    "a\nb",
    "\u202eabc",
    "\ud800",
    "\u2028",
    "x" * 10_000_000,
    "##[error]",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("line", [one_line, ascii_line])
def test_hostile_text_becomes_one_bounded_printable_line(line, text):
    assert line(text).isprintable()
    assert len(line(text)) <= LIMIT + 10  # each ## is taken apart


@given(st.text(st.characters(), max_size=500))
def test_any_text_becomes_one_bounded_printable_line(text):
    assert one_line(text).isprintable()
    assert len(one_line(text)) <= LIMIT
    assert ascii_line(text).isascii()
    assert ascii_line(text).isprintable()
    assert "##" not in ascii_line(text)
    assert escaped(text).isprintable()


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=LIMIT))
def test_plain_text_stays_as_it_is(text):
    assert one_line(text) == escaped(text) == text


def test_a_cut_is_visible():
    assert one_line("x" * 201) == "x" * 199 + "…"
    assert one_line("x" + " " * 2000 + "y") == "x…"
    assert ascii_line("x" * 201) == "x" * 197 + "..."
