"""Promises of a request: it is loaded whole, or all that is wrong with it is printed."""

import json

import pytest

from petsage.builder import BuildError
from petsage.builder.request import MAX_BYTES, Request, from_json, from_options


def load(**changes):
    return from_json(json.dumps({"feature": "vet", "description": "Finds one", **changes}).encode())


def problems(**changes):
    with pytest.raises(BuildError) as caught:
        load(**changes)
    return list(caught.value.problems)


def test_a_request_is_loaded_in_its_own_order():
    assert load(requirements=["b", "a"], fields={"pet": "string!", "due": "date"}) == Request(
        "vet", "Finds one", ("b", "a"), (("pet", "string!"), ("due", "date"))
    )


def test_options_say_the_same_as_json():
    by_options = from_options("vet", ["b"], ["pet:enum:cat:dog!"], description="Finds one")
    assert by_options == load(requirements=["b"], fields={"pet": "enum:cat:dog!"})


def test_a_request_is_loaded_again_from_what_it_writes():
    request = load(requirements=["b"], fields={"pet": "string!"})
    assert from_json(json.dumps(request.to_json()).encode()) == request


@pytest.mark.parametrize("nothing", [None, "none", [], ["none"]])
def test_no_requirements_can_be_said_in_several_ways(nothing):
    assert load(requirements=nothing).requirements == ()


def test_no_fields_can_be_said_by_null():
    assert load(fields=None).fields == ()


def test_everything_wrong_is_printed_at_once():
    assert problems(
        feature="Vet", description=1, requirements="b", fields={"self": "text"}, featur="vet"
    ) == [
        "feature: must be 1 to 40 lower-case ASCII letters, digits and single underscores; "
        "the first is a letter, as in pet_birthday",
        "description: Not a valid string.",
        "requirements: Not a valid list.",
        "fields.self: self is used by the code already; pet_self would be right",
        "fields.self: unknown type; known are string, integer, float, boolean, date, datetime, "
        "decimal, uuid, email, url, enum:a:b, list:TYPE",
        "featur: unknown; did you mean feature?",
    ]


def test_a_missing_member_is_named():
    with pytest.raises(BuildError) as caught:
        from_json(b"{}")
    assert [line.partition(":")[0] for line in caught.value.problems] == ["feature", "description"]


@pytest.mark.parametrize(
    "name",
    [
        *("", "a/b", "../a", "..", "a-b", "Vet", "vEt", "a" * 41, "a" * 200, "vét", "ve t", "1a"),
        *("_a", "a_", "a__b", "a.b", "vet\n", "\u217a", "\0"),
    ],
)
def test_a_name_with_other_characters_is_refused_with_the_rule(name):
    assert [p for p in problems(feature=name) if "must be 1 to 40 lower-case ASCII" in p]
    assert [p for p in problems(fields={name: "date"}) if "must be 1 to 40 lower-case ASCII" in p]


@pytest.mark.parametrize("name", ["a" * 40, "a", "a1", "pet_birthday_2", "request", "field"])
def test_a_name_of_small_letters_digits_and_single_underscores_is_taken(name):
    assert load(feature=name, fields={name: "date"}).feature == name


@pytest.mark.parametrize(
    "name",
    [
        *("class", "import", "async", "match", "case", "type", "json", "uuid", "email", "queue"),
        *("print", "id", "l", "drain", "workers", "blueprint", "check", "schema", "check_failed"),
        *("smoke_check", "count_open", "refused", "exact_integer", "exact_decimal"),
    ],
)
def test_a_feature_cannot_have_a_name_of_pythons_or_petsages_own(name):
    (problem,) = problems(feature=name)
    assert problem == f"feature: {name} is used by the code already; pet_{name} would be right"


@pytest.mark.parametrize(
    "name", ["self", "class", "validate", "fields", "load", "dump", "str", "dt", "opts", "l"]
)
def test_a_field_cannot_have_a_name_that_its_class_uses(name):
    message = problems(fields={name: "date"})
    assert message == [
        f"fields.{name}: {name} is used by the code already; pet_{name} would be right"
    ]


def test_a_field_can_have_a_name_that_only_modules_use():
    names = ["id", "type", "date", "datetime", "email", "uuid", "decimal", "password", "format"]
    assert [name for name, _ in load(fields=dict.fromkeys(names, "string")).fields] == names


def test_the_same_field_twice_is_refused():
    with pytest.raises(BuildError, match="the request is not JSON: a key twice"):
        from_json(b'{"feature":"vet","description":"d","fields":{"pet":"date","pet":"date"}}')
    with pytest.raises(BuildError, match="a field is given twice"):
        from_options("vet", [], ["pet:date", "due:date", "pet:string"], description="d")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 60000,
        b'{"feature":' + b"9" * 5000 + b"}",
        b"\x00",
    ],
)
def test_a_request_that_is_no_json_is_refused(text):
    with pytest.raises(BuildError, match="the request is not JSON: "):
        from_json(text)


@pytest.mark.parametrize("text", [b"[]", b'"vet"', b"null", b"1"])
def test_a_request_that_is_no_json_object_is_refused(text):
    with pytest.raises(BuildError, match="must be a JSON object with feature, description"):
        from_json(text)


def test_a_request_of_more_than_1_mib_is_refused():
    with pytest.raises(BuildError, match="may have 1 MiB"):
        from_json(b" " * (MAX_BYTES + 1))


def test_white_space_in_a_text_becomes_single_spaces():
    assert load(description=" Finds\n\n one\t\u2028\xa0now ").description == "Finds one now"


@pytest.mark.parametrize("text", ["", " \n", "x" * 501, 'a\u202e"""', "a\0", "\ud800", "a\x1b[2J"])
def test_a_text_that_is_empty_or_too_long_or_has_invisible_characters_is_refused(text):
    assert problems(description=text)[0].startswith("description: ")
    assert problems(requirements=["a", text])[0].startswith("requirements.1: ")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("strng", "unknown type; did you mean string?"),
        ("", "unknown type; known are"),
        ("string!!", "unknown type; did you mean string?"),
        ("!", "unknown type; known are"),
        ("string:a", "unknown type; did you mean string?"),
        ("list", "unknown type; did you mean"),
        ("list:", "unknown type; known are"),
        ("list:list:date", "a list holds no lists"),
        ("list:string!!", "unknown type"),
        ("enum", "must be enum:a:b"),
        ("enum:", "must be enum:a:b"),
        ("enum:a::b", "must be enum:a:b"),
        ('enum:a"b', "must be enum:a:b"),
        ("enum:a\n", "must be enum:a:b"),
        ("enum: a", "must be enum:a:b"),
        (f"enum:{'a' * 41}", "must be enum:a:b"),
        ("enum:a:b:a", "an enum may not have the same choice twice"),
        ("x" * 1001, "must be a type, of 1000 characters at most"),
        (7, "must be a type"),
        (None, "Field may not be null."),
        (["string"], "must be a type"),
    ],
)
def test_a_wrong_type_is_refused_with_what_would_be_right(asked, message):
    (problem,) = problems(fields={"pet": asked})
    assert problem.startswith(f"fields.pet: {message}")


def test_too_many_fields_or_requirements_are_refused():
    assert "maximum length 50" in problems(fields={f"a{n}": "date" for n in range(51)})[0]
    assert "maximum length 50" in problems(requirements=["a"] * 51)[0]


@pytest.mark.parametrize("fields", [[], "none", 7, [["pet", "date"]]])
def test_fields_that_are_no_object_are_refused(fields):
    assert "Not a valid mapping type" in problems(fields=fields)[0]


def test_a_name_that_cannot_be_printed_is_escaped_and_cut():
    (problem,) = problems(**{"\x1b[2J" + "x" * 1000: 1})
    assert problem.startswith("\\x1b[2Jxxx")
    assert len(problem) < 200


def field(**words):
    return load(fields={"pet": words}).fields[0][1]


@pytest.mark.parametrize(
    "words",
    [
        {"type": "integer!", "minimum": 0, "maximum": 0},
        {"type": "integer", "minimum": -5, "default": -5, "examples": [7, 8]},
        {"type": "float", "minimum": 0.5, "maximum": 2, "description": "In kilograms"},
        {"type": "string", "minLength": 0, "maxLength": 10_000},
        {"type": "enum:a:b", "default": "b"},
        {"type": "date!", "examples": ["2024-02-29"]},
        {"type": "list:date", "examples": [["2024-02-29"], []]},
    ],
)
def test_a_field_can_be_an_object_in_json_schemas_words(words):
    assert field(**words) == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "type: Missing data for required field."),
        ({"type": "strng"}, "unknown type; did you mean string?"),
        ({"type": "string", "minimun": 1}, "minimun: unknown; did you mean minimum?"),
        ({"type": "string", "value": 1}, "value: unknown; known are type, description, minimum"),
        ({"type": "string", "minimum": 1}, "minimum: is not for this type"),
        ({"type": "integer", "maxLength": 1}, "maxLength: is not for this type"),
        ({"type": "list:integer", "minimum": 1}, "minimum: is not for this type"),
        ({"type": "decimal", "minimum": 1}, "minimum: is not for this type"),
        ({"type": "integer", "minimum": 0.5}, "minimum: must be an integer"),
        ({"type": "integer", "minimum": True}, "minimum: must be a number from -1e+15 to 1e+15"),
        ({"type": "float", "minimum": 1e16}, "minimum: must be a number from -1e+15 to 1e+15"),
        ({"type": "float", "minimum": 2, "maximum": 1}, "minimum: is above maximum"),
        ({"type": "string", "minLength": 2, "maxLength": 1}, "minLength: is above maxLength"),
        ({"type": "string", "maxLength": 10_001}, "maxLength: Must be"),
        ({"type": "string", "description": "a\u202e"}, "description: must be printable"),
        ({"type": "integer", "maximum": 2, "default": 3}, "default: Must be less than"),
        ({"type": "integer", "default": "3"}, "default: Not a valid integer."),
        ({"type": "integer", "default": 3.0}, "default: does not come back as it is sent"),
        ({"type": "integer", "default": None}, "default: Field may not be null."),
        ({"type": "integer!", "default": 3}, "default: is not for this type, nor for a required"),
        ({"type": "date", "default": "2024-02-29"}, "default: is not for this type"),
        ({"type": "list:string", "default": []}, "default: is not for this type"),
        ({"type": "string", "examples": ["a\u202e"]}, "examples: must be printable"),
        ({"type": "string", "examples": ["a" * 1000]}, "examples: must be printable, 1000"),
        ({"type": "integer", "examples": [3, "x"]}, "examples: Not a valid integer."),
        ({"type": "integer", "examples": []}, "examples: Length must be between 1 and 10."),
        ({"type": "datetime", "examples": ["2024-02-29T12:00:00"]}, "examples: does not come back"),
    ],
)
def test_a_wrong_keyword_or_value_of_a_field_is_refused(words, message):
    problem, *_ = problems(fields={"pet": words})
    assert problem.startswith(
        f"fields.pet.{message}" if ": " in message else f"fields.pet: {message}"
    )


def test_no_more_than_ten_problems_are_printed():
    asked = {f"key_{number}": 1 for number in range(4000)}
    lines = problems(**asked)
    assert (len(lines), lines[-1]) == (11, "and 3990 more")


def test_the_files_that_the_builder_writes_beside_a_request_are_ignored():
    request = load(requirements=["b"], fields={"pet": {"type": "string!", "maxLength": 3}})
    assert from_json(json.dumps(request.to_json() | {"files": {"a": "b"}}).encode()) == request


def test_a_requirement_that_is_given_twice_counts_once():
    assert load(requirements=["a", "b", "a"]).requirements == ("a", "b")


def test_without_fields_there_is_nothing_to_post():
    assert problems(method="POST") == ["method: must be GET: there is nothing to send"]
    assert problems(method="PUT", fields={"pet": "date"}) == ["method: Must be one of: GET, POST."]
