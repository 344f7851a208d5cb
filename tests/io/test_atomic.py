"""Files that are there whole or not at all."""

import errno
import os

import pytest

from adiabat.errors import OutputError
from adiabat.io.atomic import atomic_file, remove_temporary_files, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_name_appears_when_everything_is_written(tmp_path):
    path = tmp_path / "file"
    with atomic_file(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def fails():
        with atomic_file(path) as file:
            file.write(b"new")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_errors_of_the_system_become_output_errors_that_name_the_file(tmp_path, monkeypatch, number):
    path = tmp_path / "file"
    write_text(path, "old")

    def fails(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OutputError, match=f"could not write {path}: {os.strerror(number)}") as raised:
        write_text(path, "new")
    assert raised.value.exit_code == 74
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        write_text(tmp_path / "absent" / "file", "text")


def test_json_that_other_programs_cannot_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file", {"energy": float("nan")})
    assert names(tmp_path) == []


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    for name in (".file.1.unfinished", "file", ".hidden"):
        (tmp_path / name).write_text("")
    remove_temporary_files(tmp_path)
    assert names(tmp_path) == [".hidden", "file"]
