"""Promises of what a check may say, and what becomes of it."""

import asyncio
import functools
import logging
from decimal import Decimal
from fractions import Fraction

import pytest

from petsage import Check, CheckFailed, CheckWarns, Status, Value
from petsage.health.monitor import Monitor
from tests.fakes import ManualClock, Subject, check
from tests.support import wait_until


def result_of(run, **options):
    """The result of one run of this function."""
    (result,) = Monitor([check(run=run, **options)], clock=ManualClock()).report("ready").results
    return result


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize("returned", [None, True])
def test_none_and_true_are_a_pass(returned):
    result = result_of(lambda: returned)
    assert (result.status, result.reason, result.value) == (Status.PASS, "", None)


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (73, Value(73)),
        (0, Value(0)),
        (-1.5, Value(-1.5)),
        (Decimal("0.25"), Value(0.25)),
        (Fraction(1, 4), Value(0.25)),
        (Value(73, "messages"), Value(73, "messages")),
    ],
)
def test_a_number_is_a_pass_with_that_value(returned, value):
    result = result_of(lambda: returned)
    assert (result.status, result.value) == (Status.PASS, value)


def test_false_is_a_fail():
    result = result_of(lambda: False)
    assert (result.status, result.reason) == (Status.FAIL, "returned False")


def coroutine():
    async def never_awaited():
        """A coroutine that nobody awaits."""

    return never_awaited()


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (lambda: Status.FAIL, "Status"),
        (lambda: "down", "str"),
        (dict, "dict"),
        (lambda: float("nan"), "float"),
        (lambda: float("-inf"), "float"),
        (lambda: 10**400, "int"),
        (coroutine, "coroutine"),
        (type("x" * 10_000_000, (), {}), "x" * 100),
    ],
)
def test_anything_else_is_a_fail_that_says_what_a_check_returns(run, name):
    result = result_of(lambda: run())
    assert result.status is Status.FAIL
    assert result.reason.startswith(f"returned a {name}")
    if len(name) < 100:
        assert result.reason.endswith("a check returns None, True or a number, or raises")
    assert len(result.reason) <= 200


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), 10**400, Decimal("sNaN")])
def test_a_number_that_cannot_be_shown_is_a_fail_that_says_so(number):
    reason = result_of(lambda: number).reason
    assert " that is NaN or too large: a check returns None, True or a number" in reason


def test_a_bool_of_another_package_is_named_with_it():
    other = type("bool", (), {"__module__": "numpy"})()
    reason = result_of(lambda: other).reason
    assert reason.startswith("returned a bool of numpy, which is not True: a check returns None")


class Odd(float):
    """A number that cannot be converted."""

    def __float__(self):
        raise ZeroDivisionError


class Stranger:
    """An object that raises even when its class is read."""

    @property  # type: ignore[misc]
    def __class__(self):
        raise RuntimeError


class Own(CheckFailed):
    """A subclass that does not call its base's `__init__`."""

    def __init__(self, reason):
        self.args = (reason,)


@pytest.mark.parametrize("kind", [CheckFailed, CheckWarns])
@pytest.mark.parametrize("make", [lambda: Odd(1), Stranger, lambda: Decimal("sNaN"), object])
def test_a_value_that_cannot_be_shown_takes_nothing_of_the_reason(kind, make):
    result = result_of(raising(kind("the queue is full", value=make())))
    assert (result.reason, result.value) == ("the queue is full", None)
    assert result.status is (Status.FAIL if kind is CheckFailed else Status.WARN)


def test_a_failure_of_a_class_of_ones_own_keeps_its_reason():
    assert result_of(raising(Own("the queue is full"))).reason == "the queue is full"


class Exits(Exception):
    """An exception whose message would end the process."""

    def __str__(self):
        raise SystemExit(3)


class Proxy:
    """A callable whose signature cannot be read."""

    @property
    def __wrapped__(self):
        raise SystemExit(3)

    def __call__(self):
        raise OSError


class Nameless(type):
    """The type of a class whose name cannot be read."""

    def __getattribute__(cls, name):
        if name == "__name__":
            raise RuntimeError
        return super().__getattribute__(name)


class Unnamed(Exception, metaclass=Nameless):
    pass


@pytest.mark.parametrize(
    "run", [raising(Exits()), raising(CheckFailed(Exits())), raising(Unnamed()), Proxy()]
)
def test_a_run_that_spoils_its_own_report_fails_and_is_run_again(run):
    clock = ManualClock()
    monitor = Monitor([check(run=run)], clock=clock)
    for runs in (1, 2):
        (result,) = monitor.report("ready").results
        assert result.status is Status.FAIL
        assert result.reason.startswith("raised ")
        assert monitor.past("database").runs[Status.FAIL] == runs
        clock.time += 31


@pytest.mark.parametrize(
    ("error", "critical", "status"),
    [
        (CheckFailed("x", value=1000), True, Status.FAIL),
        (CheckFailed("x", value=1000), False, Status.WARN),
        (CheckWarns("x", value=Value(1000)), True, Status.WARN),
        (CheckWarns("x", value=Value(1000)), False, Status.WARN),
        (CheckWarns("x", value=float("nan")), True, Status.WARN),
        (CheckFailed("x", value="many"), True, Status.FAIL),  # type: ignore[arg-type]
        (CheckFailed("x"), True, Status.FAIL),
    ],
)
def test_a_check_has_two_levels_each_with_its_reason_and_value(error, critical, status):
    result = result_of(raising(error), critical=critical)
    assert (result.status, result.reason) == (status, "x")
    assert result.value == (Value(1000) if isinstance(error.value, int | Value) else None)


def test_of_an_unexpected_exception_the_innermost_frame_of_the_checks_own_package_is_named():
    def asks_a_library():
        asyncio.run(asyncio.wait_for(failing(), 1))

    async def failing():
        raise OSError("password=hunter2")

    line = asks_a_library.__code__.co_firstlineno
    assert result_of(asks_a_library).reason == f"raised OSError ({__name__}:{line + 4})"
    of_a_library = functools.partial(__import__("json").loads, "{")
    assert result_of(of_a_library).reason.startswith("raised JSONDecodeError (json.decoder:")
    own = functools.partial(lambda: __import__("json").loads("{"))
    assert result_of(own).reason.startswith(f"raised JSONDecodeError ({__name__}:")


class Remote:
    """It has every attribute that is asked for, as a method of `xmlrpc.client.ServerProxy` has."""

    def __getattr__(self, name):
        return Remote()

    def __call__(self):
        raise ConnectionRefusedError


def test_a_method_of_a_remote_object_can_be_a_check():
    assert result_of(Remote()).reason.startswith(f"raised ConnectionRefusedError ({__name__}:")


def test_the_frames_are_logged_once_for_each_change_and_the_message_at_debug_only(caplog):
    caplog.set_level(logging.DEBUG, logger="petsage.monitor")
    clock, subject = ManualClock(), Subject(RuntimeError("password=hunter2"))
    monitor = Monitor([check(run=subject)], clock=clock)
    for _ in range(3):
        monitor.report("ready")
        clock.time += 31
    wait_until(lambda: len(caplog.records) >= 3)
    change, frames, message = caplog.records
    assert change.getMessage().startswith("check database: fail (was not known): raised Runtime")
    assert frames.levelno == logging.WARNING
    assert frames.getMessage().startswith("check database raised at tests.fakes:")
    assert " < petsage.health.outcome:" in frames.getMessage()
    assert "hunter2" not in change.getMessage() + frames.getMessage()
    assert (message.levelno, message.getMessage()) == (
        logging.DEBUG,
        "check database raised: password=hunter2",
    )


HOSTILE = ("x" * 10_000_000, "a\0b", "\x1b[31mred\x1b[0m", "\ud800", "two\nlines\u2028three\r")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:8]))
@pytest.mark.parametrize(
    "error",
    [CheckFailed, CheckWarns, lambda text: type("X" + ascii(text), (Exception,), {})()],
    ids=["fails", "warns", "raises"],
)
def test_a_reason_is_one_bounded_printable_line_whatever_it_holds(caplog, text, error):
    reason = result_of(raising(error(text))).reason
    assert reason.isprintable()
    assert 0 < len(reason) <= 200
    assert all(len(line) < 5000 and line.isprintable() for line in caplog.messages)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:8]))
def test_a_name_or_a_unit_that_is_no_such_line_is_refused_in_one(text):
    with pytest.raises(ValueError, match="a name must be 1 to 64") as refused:
        Check(text, print)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
    with pytest.raises(ValueError, match="a unit must have 1 to 20 printable ASCII characters"):
        Value(1, text)


@pytest.mark.parametrize(
    "number", [True, "73", None, float("nan"), float("inf"), 1j, 10**400, Fraction(10**400)]
)
def test_a_value_is_a_finite_number(number):
    with pytest.raises(ValueError, match="a value must be a"):
        Value(number)


@pytest.mark.parametrize("unit", [None, 0, b"", []])
def test_a_unit_is_a_text_or_the_scrape_would_fail(unit):
    with pytest.raises(ValueError, match="a unit must have 1 to 20 printable ASCII characters"):
        Value(1, unit)


def test_a_value_is_printed_as_a_person_writes_it():
    said = [str(Value(*v)) for v in ((73, "messages"), (0.1, "%"), (1234567,), (1e300, "B"))]
    assert said == ["73 messages", "0.1 %", "1234567", "1e+300 B"]


async def async_function():
    """What a check cannot be, as are the two below."""


def generator():
    yield


async def async_generator():
    yield


class Asynchronous:
    async def __call__(self):
        """What a check cannot be either."""


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (async_function, "a check cannot be async"),
        (functools.partial(async_function), "a check cannot be async"),
        (Asynchronous(), "a check cannot be async"),
        (generator, "a check cannot be a generator"),
        (async_generator, "a check cannot be a generator"),
        (Subject, "run must be a function, and not a class"),
        (functools.partial(Subject), "run must be a function, and not a class"),
        ("print", "run must be a function without parameters"),
        (lambda app: None, "run must be a function without parameters"),
        (Subject.__call__, "run must be a function without parameters"),
        (None, "run must be a function without parameters"),
    ],
)
def test_what_could_never_fail_is_refused_by_name(run, words):
    with pytest.raises(ValueError, match=f"^check 'stock': {words}"):
        Check("stock", run)


def test_a_function_whose_decorator_gives_it_its_arguments_can_be_a_check():
    def asks(database):
        raise CheckFailed(database)

    @functools.wraps(asks)
    def run(*arguments):
        return asks("down", *arguments)

    for one in (run, functools.partial(asks, "down")):
        assert result_of(one).reason == "down"
