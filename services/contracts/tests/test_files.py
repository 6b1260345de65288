"""Atomic writes reach the disk: the file first, then the folder that holds its name."""

import errno
import os
import stat
from pathlib import Path

import pytest
from podium_contracts.files import replacing, write_atomically


def test_a_write_syncs_file_then_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []
    path, fsync = tmp_path / "run.json", os.fsync

    def noted(fd: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(fd).st_mode), path.exists()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    write_atomically(path, b"{}")
    assert synced == [(False, False), (True, True)]
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize(("code", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_takes_no_fsync_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
) -> None:
    def refuses(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuses)
    path = tmp_path / "run.json"
    if raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            write_atomically(path, b"{}")
    else:
        write_atomically(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]
