"""Texts that do harm if they are interpreted as code, template or Markdown."""

from petsage.builder.request import Request, from_options

TEXTS = [
    '"""; raise SystemExit  # """',
    'it\'s "quoted" and ends with a quote"',
    "{{ 7 * 7 }} {% raise %} {# no #} ${HOME} %s {0} $x",
    "C:\\new\\table \\N{DASH} \\x41 \\",
    "--- is no end",
    "- [ ] is no box",
    "# is no title",
    "1. is no list",
    "<script>alert(1)</script> &amp; [a](javascript:b) ![c](d) `e` *f* _g_ | ~h~",
    "Grüß \u2018\u043c\u0438\u0440\u2019 \u2013 \xd7 猫の誕生日を忘れないようにする機能 🐈",
    "x" * 500,
    "a " * 249 + "b",
    "\\ " * 249 + '"',
    "猫 " * 249 + "猫",
]


def text_request(number: int) -> Request:
    """A request with the text in each of its places; every second one has a field."""
    text, field = TEXTS[number], ["pet:date"] if number % 2 else []
    return from_options(f"text_{number}", [text], field, description=text)
