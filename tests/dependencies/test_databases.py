"""SQLite checks, against real files."""

import sqlite3
from pathlib import Path

import pytest

from tests.declared import verdict


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
