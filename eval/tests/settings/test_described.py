"""What run.json says of the settings beside their values."""

import pytest
from podium_eval.settings.described import changed_settings, secret_marks
from podium_eval.settings.read import read_settings


def test_settings_that_differ_from_their_defaults_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abc")
    settings = read_settings({"concurrency": 7, "max_rounds": 50})
    assert {"concurrency", "openai_api_key"} <= set(changed_settings(settings))
    assert not {"max_rounds", "judging", "protocol"} & set(changed_settings(settings))


def test_a_secrets_mark_shows_only_whether_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = []
    for key in ("sk-abc", "sk-abc", "sk-abd"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        monkeypatch.setenv("MISTRAL_API_KEY", key)
        marks.append(secret_marks(read_settings({})))
    assert marks[0] == marks[1]
    assert marks[0].keys() == {"openai_api_key", "added_keys.MISTRAL_API_KEY"}
    assert all(marks[0][name] != marks[2][name] for name in marks[0])
    assert all(len(mark) == 4 for mark in marks[0].values())
