"""The file of settings that a user names."""

from pathlib import Path

import pytest
from podium_eval.errors import ConfigError
from podium_eval.settings.read import read_settings


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.env"):
        read_settings({}, str(tmp_path / "gone.env"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_file_that_is_no_utf_8_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes("MAX_ROUNDS=7 # \u00e9".encode(encoding))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        read_settings({}, str(path))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAX_ROUNDS", raising=False)
    path = tmp_path / ".env"
    path.write_bytes("MAX_ROUNDS=7\n".encode("utf-8-sig"))
    assert read_settings({}, str(path)).max_rounds == 7
