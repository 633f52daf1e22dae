"""What databases' checks do that needs no server: SQLite files, and what a URL may ask for."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from marshmallow import ValidationError

from tests.declared import check_of, verdict
from tests.fakes import in_a_child
from tests.hostile import dripping, peer, server
from tests.support import free_port


def _database(path: Path) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE pet (name TEXT)")
    connection.close()
    return path


def test_a_database_file_is_well(tmp_path: Path) -> None:
    assert verdict(f"sqlite:///{_database(tmp_path / 'pets.db')}") == ""


def test_a_relative_path_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _database(tmp_path / "pets.db")
    monkeypatch.chdir(tmp_path)
    assert verdict("sqlite:///pets.db") == ""


def test_a_file_that_is_named_memory_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert verdict("sqlite:///:memory:") == "unable to open database file"


def test_a_path_is_percent_decoded_and_means_nothing_to_sqlite(tmp_path: Path) -> None:
    path = _database(tmp_path / "a b?mode=rwc#%41")
    assert verdict(f"sqlite:///{tmp_path}/a%20b%3Fmode=rwc%23%2541") == ""
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_fails_and_is_not_created(tmp_path: Path) -> None:
    assert verdict(f"sqlite:///{tmp_path}/pets.db") == "unable to open database file"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    (tmp_path / "pets.db").write_bytes(b"no database, " * 100)
    assert verdict(f"sqlite:///{tmp_path}/pets.db") == "file is not a database"


def test_a_file_that_another_holds_for_itself_is_given_up_in_time(tmp_path: Path) -> None:
    path = _database(tmp_path / "pets.db")
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        assert verdict(f"sqlite:///{path}#timeout=0.3") == "database is locked"
        holder.execute("ROLLBACK")
        assert verdict(f"sqlite:///{path}#timeout=0.3") == ""
    finally:
        holder.close()


@pytest.fixture
def wal(tmp_path: Path) -> Iterator[Path]:
    """A database in WAL mode, in a folder that every user can read."""
    folder = Path(tempfile.mkdtemp(prefix="petsage-"))
    folder.chmod(0o755)
    path = _database(folder / "pets.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    try:
        yield path
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_no_check_of_a_database_in_wal_mode_leaves_a_file_behind(wal: Path) -> None:
    assert verdict(f"sqlite:///{wal}") == ""
    assert list(wal.parent.iterdir()) == [wal]


def test_a_database_in_wal_mode_that_is_in_use_is_well(wal: Path) -> None:
    with closing(sqlite3.connect(wal)) as connection:
        connection.execute("INSERT INTO pet VALUES ('Rex')")
        files = sorted(wal.parent.iterdir())
        assert len(files) == 3
        assert verdict(f"sqlite:///{wal}") == ""
        assert sorted(wal.parent.iterdir()) == files


def test_a_database_in_wal_mode_in_a_folder_that_cannot_be_written_says_so(wal: Path) -> None:
    def unprivileged() -> str:
        if os.geteuid() == 0:
            os.setuid(65534)
        return verdict(f"sqlite:///{wal}")

    wal.parent.chmod(0o555)
    assert in_a_child(unprivileged) == "it is in WAL mode, and its folder cannot be written"
    wal.parent.chmod(0o755)
    with closing(sqlite3.connect(wal)) as connection:
        connection.execute("SELECT * FROM pet")
        wal.parent.chmod(0o555)
        assert in_a_child(unprivileged) == ""  # the files are there already


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("ssl=true", "unknown parameter in its query; did you mean ssl_ca?"),
        ("ssl_capath=/ca&ssl_check_hostname=s3cret", "ssl_check_hostname must be true or false"),
        ("ssl_check_hostname=true", "ssl_check_hostname needs ssl_ca or ssl_capath beside it"),
        ("ssl_ca=/s3cret", "ssl_ca must be the path of a readable file of certificates in PEM"),
        ("charset=utf8&charset=utf8", "charset is given twice"),
        ("charset=s3cret!", "charset must be a character set"),
        ("s3=9", "unknown parameter in its query; known are ssl_ca, "),
    ],
)
def test_what_pymysql_would_not_understand_is_refused_at_start(query: str, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_of(f"mysql://app:s3cret@db/pets?{query}")
    (problem,) = caught.value.messages
    assert line in problem
    assert "s3cret" not in problem


def test_what_libpq_would_not_understand_is_refused_at_start() -> None:
    for query in ("sslmod=s3cret", "s3cret"):
        with pytest.raises(ValidationError) as caught:
            check_of(f"postgresql://app:s3cret@db/pets?{query}")
        assert caught.value.messages == [
            "check 'it': its query has a parameter that libpq does not know"
        ]


def test_a_peer_that_is_no_redis_is_reported_without_its_own_words() -> None:
    with server(lambda connection: connection.sock.sendall(connection.request)) as echo:
        path = "%0D%0A%0D%0A"  # this peer waits for a blank line
        reason = verdict(f"redis://:s3cret{path}@127.0.0.1:{echo.port}", "s3cret")
    assert reason == "answered what is not Redis"
    with dripping(b"-" + b"x" * 9) as port:
        assert verdict(f"redis://127.0.0.1:{port}#timeout=0.3") == "timed out"
    with peer(lambda sock: sock.sendall(b"-" + b" " * 1000 + b"s3cret" * 99)) as port:
        assert verdict(f"redis://:s3cret@127.0.0.1:{port}") == "answered what is not Redis"
    with peer(lambda sock: sock.sendall(b"+OK POP3 ready\r\n")) as port:
        assert verdict(f"redis://127.0.0.1:{port}") == "answered what is not Redis"
    with server(lambda _connection: None) as closing_at_once:
        url = f"redis://:s3cret{path}@127.0.0.1:{closing_at_once.port}"
        assert verdict(url) in {"closed the connection", "Connection reset by peer"}


def test_several_hosts_are_tried_in_turn_each_in_its_share_of_the_time() -> None:
    # The first host refuses, the second one never ends its answer.
    with dripping(b"NR\x00\x00\x01\x00\x00\x00\x00\x0a1") as port:
        url = f"postgresql://u:p@127.0.0.1:{free_port()},127.0.0.1:{port}/pets#timeout=0.5"
        assert verdict(url) == "timed out"
