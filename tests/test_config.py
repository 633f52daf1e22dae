"""Promises of the configuration: everything wrong at once, by name, and no value echoed."""

import re
import subprocess
import sys

import pytest

from petsage.address import Address
from petsage.config import Config, ConfigError, ConfigSchema
from petsage.cpus import available_cpus
from tests.support import PETSAGE, environment_of


def problems(**environ):
    with pytest.raises(ConfigError) as refused:
        Config.load({f"PETSAGE_{name}": value for name, value in environ.items()})
    return list(refused.value.problems)


def test_nothing_needs_to_be_set():
    config = Config.load({"HOME": "/root", "PATH": "/bin"})
    assert (str(config.bind), str(config.management_bind)) == ("127.0.0.1:8000", "127.0.0.1:8001")
    assert config.workers == available_cpus()
    assert (config.drain_seconds, config.graceful_seconds, config.stuck_seconds) == (5, 30, 120)
    assert (config.proxies, config.log_format, config.log_level) == (0, "text", "info")
    assert config.checks == ()
    assert re.fullmatch(r"\d+\.\d+\.\d+", config.release)
    assert re.fullmatch(r"[0-9a-f]{12}", config.instance)


def test_the_checks_can_stand_in_a_file(tmp_path):
    (tmp_path / "checks").write_text("\ufeffa=dns://pets.example\n b=disk:///\n")
    config = Config.load({"PETSAGE_CHECKS_FILE": str(tmp_path / "checks")})
    assert [check.name for check in config.checks] == ["a", "b"]


def test_a_checks_file_that_is_wrong_is_reported_without_what_is_in_it(tmp_path):
    file = tmp_path / "checks"
    assert problems(CHECKS_FILE=str(file)) == [
        "PETSAGE_CHECKS_FILE: cannot be read: No such file or directory"
    ]
    file.write_bytes(b"a=redis://:s3cr\xff@b")
    assert problems(CHECKS_FILE=str(file)) == ["PETSAGE_CHECKS_FILE: is not UTF-8"]
    file.write_text("a=redis://:s3#cret@b")
    (problem,) = problems(CHECKS_FILE=str(file))
    assert problem.startswith("PETSAGE_CHECKS_FILE: check 'a': must be of the form")
    assert problems(CHECKS_FILE=str(file), CHECKS="a=dns://b") == [
        "PETSAGE_CHECKS_FILE: PETSAGE_CHECKS is set too: leave one of them out"
    ]


def test_each_variable_is_read():
    config = Config.load(
        {
            "PETSAGE_BIND": "[::1]:9000",
            "PETSAGE_MANAGEMENT_BIND": "unix:/run/petsage/management.sock",
            "PETSAGE_WORKERS": "3",
            "PETSAGE_THREADS": "5",
            "PETSAGE_DRAIN_SECONDS": "0.5",
            "PETSAGE_GRACEFUL_SECONDS": "20",
            "PETSAGE_STUCK_SECONDS": "0",
            "PETSAGE_RELEASE": "2026.11.1+abc",
            "PETSAGE_INSTANCE": "blue-1",
            "PETSAGE_PROXIES": "2",
            "PETSAGE_LOG_FORMAT": "json",
            "PETSAGE_LOG_LEVEL": "debug",
        }
    )
    assert config == Config(
        bind=Address("::1", 9000),
        management_bind=Address(path="/run/petsage/management.sock"),
        workers=3,
        threads=5,
        drain_seconds=0.5,
        graceful_seconds=20,
        stuck_seconds=0,
        release="2026.11.1+abc",
        instance="blue-1",
        proxies=2,
        log_format="json",
        log_level="debug",
    )


def test_a_variable_set_to_nothing_is_not_set():
    assert Config.load({"PETSAGE_WORKERS": " "}).workers == available_cpus()


def test_all_that_is_wrong_is_reported_at_once_with_what_is_allowed():
    assert problems(
        BIND="localhost", WORKERS="many", DRAIN_SECONDS="-1", LOG_FORMAT="xml", WORKRES="2"
    ) == [
        "PETSAGE_WORKRES: unknown; did you mean PETSAGE_WORKERS?",
        "PETSAGE_BIND: must be host:port, [ipv6]:port or unix:/absolute/path (107 bytes at most)",
        "PETSAGE_WORKERS: must be a whole number from 1 to 1024",
        "PETSAGE_DRAIN_SECONDS: must be a number of seconds from 0 to 3600",
        "PETSAGE_LOG_FORMAT: must be text or json",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "1.5"),
        ("WORKERS", "1e3"),
        ("THREADS", "1025"),
        ("PROXIES", "17"),
        ("STUCK_SECONDS", "86400.1"),
        ("GRACEFUL_SECONDS", "3601"),
        ("DRAIN_SECONDS", "nan"),
        ("DRAIN_SECONDS", "inf"),
        ("STUCK_SECONDS", "two"),
        ("GRACEFUL_SECONDS", "0"),
        ("RELEASE", "a b"),
        ("RELEASE", "é"),
        ("RELEASE", "r1\r\nSet-Cookie: x"),
        ("INSTANCE", "x" * 129),
        ("PROXIES", "-1"),
        ("LOG_LEVEL", "INFO2"),
    ],
)
def test_a_bad_value_is_refused_and_not_echoed(name, value):
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"PETSAGE_{name}: must be ")
    assert value not in problem.removeprefix(f"PETSAGE_{name}: must be ").split(" from ")[0]


@pytest.mark.parametrize(
    "address",
    [
        "8000",
        ":8000",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:٣",
        "::1:8000",
        "[::1:8000",
        "[nope]:8000",
        "a b:1",
        "user:secret@host:1",
        "unix:",
        "unix:relative.sock",
        "unix:/" + "x" * 107,
        "tcp://127.0.0.1:80",
    ],
)
def test_what_is_no_address_is_refused(address):
    (problem,) = problems(BIND=address)
    assert problem.startswith("PETSAGE_BIND: must be host:port")
    assert address not in problem.replace("host:port", "").replace("unix:/", "")


@pytest.mark.parametrize(
    "text", ["127.0.0.1:1", "localhost:65535", "[::]:8000", "unix:/run/a b.sock", "0.0.0.0:80"]
)
def test_an_address_reads_back_as_it_was_written(text):
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "link",
    [
        "PETSAGE_SERVICE_HOST",
        "PETSAGE_SERVICE_PORT",
        "PETSAGE_SERVICE_PORT_HTTP",
        "PETSAGE_PORT",
        "PETSAGE_PORT_8000_TCP",
        "PETSAGE_PORT_8000_TCP_PROTO",
        "PETSAGE_PORT_8000_TCP_PORT",
        "PETSAGE_PORT_8000_TCP_ADDR",
        "PETSAGE_CANARY_SERVICE_HOST",
        "PETSAGE_CANARY_PORT_53_UDP_ADDR",
    ],
)
def test_what_kubernetes_puts_into_every_pod_is_ignored(link):
    assert Config.load({link: "tcp://10.0.0.1:8000"}).release


@pytest.mark.parametrize("name", ["PETSAGE_CHECK", "PETSAGE_DRAIN", "PETSAGE_BINDS", "PETSAGE_"])
def test_a_variable_that_is_not_known_is_an_error(name):
    with pytest.raises(ConfigError, match=f"{name}: unknown; (did you mean|known are) PETSAGE_"):
        Config.load({name: "x"})


@pytest.mark.parametrize("name", ["PORT", "MANAGEMENT_PORT", "BIND_PORT"])
def test_a_port_that_kubernetes_would_not_set_is_a_mistake(name):
    assert problems(**{name: "9000"})[0].startswith(f"PETSAGE_{name}: unknown; ")


def test_every_setting_has_a_variable_and_every_variable_a_setting():
    variables = set(ConfigSchema._declared_fields) - {"checks_file"}  # it loads the checks
    assert variables == set(Config.__dataclass_fields__)


def test_the_declared_checks_are_not_in_its_repr():
    assert "checks" not in repr(Config())


def test_instances_of_one_host_differ_by_their_address():
    one, other = Config(bind=Address("127.0.0.1", 1)), Config(bind=Address("127.0.0.1", 2))
    assert one.instance != other.instance
    assert one.instance == Config(bind=Address("127.0.0.1", 1)).instance


@pytest.mark.parametrize(
    "command", [[PETSAGE, "serve"], [sys.executable, "-m", "petsage", "serve"]]
)
def test_a_broken_configuration_stops_the_start_with_78_and_a_line_for_each_problem(command):
    environment = environment_of({"workers": "many", "release": "my secret", "bnid": "x"})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr == (
        "petsage: PETSAGE_BNID: unknown; did you mean PETSAGE_BIND?\n"
        "petsage: PETSAGE_WORKERS: must be a whole number from 1 to 1024\n"
        "petsage: PETSAGE_RELEASE: must be 1 to 128 printable ASCII characters without spaces\n"
    )
