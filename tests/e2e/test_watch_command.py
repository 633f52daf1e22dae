"""Promises of `petsage watch`: its verdicts, its exit codes, and what stands where."""

import json
import signal
import subprocess
from contextlib import ExitStack

import pytest

from tests.e2e.proxy import nginx
from tests.e2e.test_rolling_restart import Instance
from tests.rollout.losing import losing
from tests.support import PETSAGE, free_port, running, wait_until


def petsage_watch(*arguments):
    command = [PETSAGE, "watch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def url(server):
    return f"http://127.0.0.1:{server.port}"


def test_a_rollout_that_loses_nothing_is_0_and_ends_the_watch_by_itself():
    with losing({}, turn_at=40) as server:
        done = petsage_watch(url(server), "--until-release", "r2", "--rate", "50", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["release_verdict"]) == (
        0,
        "within bounds",
        "proven",
    )
    assert found["asks"] == found["answered"] == server.arrived
    assert list(found["releases"]) == ["r1", "r2"]
    assert found["turn"][0] >= found["releases"]["r1"]["last"] - 0.5
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code", "verdict"),
    [
        ([], 6, "lost 2, more than 0\n"),
        (["--max-lost", "2"], 0, "within bounds; release: proven\n"),
        (["--max-lost", "2", "--max-gap", "0.001"], 6, "longer than 0.001 s\n"),
        (["--max-lost", "2", "--until-release", "r9"], 4, "release: wrong or mixed release\n"),
    ],
)
def test_the_exit_code_follows_from_the_bounds_and_then_from_the_release(options, code, verdict):
    with losing({10: "reset", 15: "5xx"}) as server:
        done = petsage_watch(url(server), "--for", "1.4", "--rate", "20", *options)
    assert (done.returncode, done.stdout[-len(verdict) :]) == (code, verdict)
    assert "lost: 1 reset, 1 5xx\n" in done.stdout
    assert "r1/i1" in done.stderr


@pytest.mark.parametrize(
    ("number", "options", "code"),
    [
        (signal.SIGINT, [], 0),
        (signal.SIGINT, ["--for", "60"], 130),
        (signal.SIGTERM, ["--for", "60"], 143),
    ],
)
def test_a_signal_ends_it_with_what_is_known(number, options, code):
    with losing({}) as server:
        command = [PETSAGE, "watch", url(server), *options]
        with running(command, stdout=subprocess.PIPE, text=True) as process:
            wait_until(lambda: server.arrived > 10)
            process.send_signal(number)  # while the answer arrives: it must not be lost
            output, _ = process.communicate(timeout=4)
    assert process.returncode == code
    assert output.startswith(f"{server.arrived} asks, {server.arrived} answered, lost: 0\n")
    assert output.endswith("within bounds; release: proven\n")


@pytest.mark.parametrize(
    ("answered", "code", "verdict"), [(4, 0, "proven"), (0, 5, "inconclusive")]
)
def test_after_a_second_signal_no_answer_is_waited_for_and_an_unanswered_target_is_not_proven(
    answered, code, verdict
):
    with losing(dict.fromkeys(range(answered + 1, 1000), "timed out")) as server:
        command = [PETSAGE, "watch", url(server), "--timeout", "60"]
        with running(command, stdout=subprocess.PIPE, text=True) as process:
            wait_until(lambda: server.arrived > 10)
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=10)
    assert output.startswith(f"{answered} asks, {answered} answered, lost: 0\nlongest gap: ")
    assert output.endswith(f"within bounds; release: {verdict}\n")
    assert (process.returncode, output.count(url(server))) == (code, 1)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--rate", "0"], "0 is not in the range 1<=x<=500"),
        (["--rate", "501"], "501 is not in the range 1<=x<=500"),
        (["--rate", "nan"], "'nan' is not a valid integer range"),
        (["--for", "soon"], "must be a number of seconds"),
        (["--for", "86401"], "must be a number of seconds"),
        (["--max-lost", "-1"], "-1 is not in the range x>=0"),
        (["--until-release", ""], "must be 1 to 128 printable ASCII characters"),
        (["--cert", "/none", "--key", "/none"], "cannot be used"),
    ],
)
def test_wrong_usage_is_2_before_anything_is_asked(options, hint):
    done = petsage_watch("https://127.0.0.1:9", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr


@pytest.mark.parametrize(
    ("where", "options", "code"),
    [
        (">/dev/full", "", 70),
        (">&-", "", 70),
        (">/dev/full", "--max-gap 0.001", 6),
        (">/dev/null 2>&-", "", 0),
    ],
)
def test_an_output_that_cannot_be_written_never_hides_the_verdict(where, options, code):
    with losing({}) as server:
        command = f"set -o pipefail; {PETSAGE} watch {url(server)} --for 1 {options} {where}"
        assert subprocess.run(["bash", "-c", command], timeout=60).returncode == code


def test_asks_that_hang_are_timed_out_and_not_refused_by_this_machine():
    ways = dict.fromkeys(range(1, 1000), "timed out")
    with losing(ways) as server:
        options = "--for 1 --rate 100 --timeout 2 --json"
        command = f"ulimit -S -n 40; {PETSAGE} watch {url(server)} {options}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["lost"] == {"timed out": 100}


def test_a_name_is_overridden_as_in_the_smoke_test():
    with losing({}) as server:
        given = ("--resolve", f"pets.invalid:{server.port}:127.0.0.1", "--for", "1")
        done = petsage_watch(f"http://pets.invalid:{server.port}", *given)
    assert (done.returncode, server.arrived) == (0, 20)


def test_what_nginx_loses_without_max_fails_0_is_counted_as_nginx_logs_it(tmp_path):
    log = tmp_path / "access.log"
    with ExitStack() as stack:
        binds = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        instances = [Instance(stack, tmp_path, bind) for bind in binds]
        also = ((" max_fails=0;", " max_fails=1;"),)
        base = stack.enter_context(nginx(tmp_path, *binds, also=also))
        command = [PETSAGE, "watch", base, "--rate", "20", "--json"]
        process = stack.enter_context(running(command, stdout=subprocess.PIPE, text=True))
        wait_until(lambda: log.read_text().count("\n") > 5)
        for instance in instances:
            instance.restart()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    failed = [one for one in logged if "PetSage" in one["agent"] and one["status"] >= 500]
    assert process.returncode == 6
    assert json.loads(output)["lost"] == {"5xx": len(failed)}
