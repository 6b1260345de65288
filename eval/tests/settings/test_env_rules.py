"""One rule for .env: read where the command starts, the environment wins, doubtful names are told, all at once."""

from pathlib import Path

import pytest
from podium_eval.__main__ import main
from podium_eval.settings.read import BadSettings, read_settings


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("JUDGE", "EXPERT_DEFAULT", "CONCURRENCY", "LIMIT", "DATASET"):
        monkeypatch.delenv(name, raising=False)


def test_the_file_beside_the_command_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CONCURRENCY=7\nLIMIT=3\n")
    monkeypatch.setenv("LIMIT", "5")
    settings = read_settings({})
    assert (settings.concurrency, settings.limit) == (7, 5)


def test_a_named_file_is_read_instead(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CONCURRENCY=7\n")
    (tmp_path / "other").write_text("LIMIT=3\n")
    settings = read_settings({}, "other")
    assert (settings.concurrency, settings.limit) == (64, 3)


def test_doubtful_names_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("CONCURENCY=7\nJUDGE_FANCY=1\nMY_OWN=1\n")
    monkeypatch.setenv("BUDGTE", "5")
    read_settings({})
    assert capsys.readouterr().err.splitlines() == [
        "podium-eval: .env: CONCURENCY is no setting: did you mean CONCURRENCY?",
        "podium-eval: .env: JUDGE_FANCY is no setting; .env.example lists all",
        "podium-eval: environment: BUDGTE is no setting: did you mean BUDGET?",
    ]


def test_a_judge_s_setting_is_named_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_MAX_TOKENS", "many")
    with pytest.raises(BadSettings, match=r"^JUDGE_MAX_TOKENS: "):
        read_settings({})


def test_wrong_types_and_what_is_missing_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("CONCURRENCY=lots\nJUDGE_ATTEMPTS=-1\nDATASET=nowhere.jsonl\n")
    assert main(["run"]) == 2
    told = capsys.readouterr().err
    for name in ("CONCURRENCY: ", "JUDGE_ATTEMPTS: ", "JUDGE is not set", "nowhere.jsonl", "no expert can answer"):
        assert name in told
