"""Keys as users paste them."""

import pytest
from podium_eval.errors import ConfigError
from podium_eval.settings.read import read_settings

VARIABLES = ("OPENAI_API_KEY", "TOGETHER_API_KEY", "ORCHESTRATOR_API_KEY", "EXPERT_API_KEY", "HF_TOKEN")


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("pasted", ["sk-abcdef ", "sk-abcdef\r", "\tsk-abcdef\n"])
def test_blanks_around_a_key_are_dropped(variable: str, pasted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, pasted)
    assert getattr(read_settings({}), variable.lower()).get_secret_value() == "sk-abcdef"


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("pasted", ["sk-abc…", "sk-abc def", "sk-abc\rdef", "sk-\u00e9"])
def test_a_key_that_no_header_carries_is_refused_by_name(
    variable: str, pasted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, pasted)
    with pytest.raises(ConfigError) as caught:
        read_settings({})
    assert variable in str(caught.value)
    assert "copy it again" in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_the_key_of_an_added_provider_is_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYOWN_API_KEY", "sk-abcdef \r")
    assert read_settings({}).provider_value("myown", "API_KEY") == "sk-abcdef"
    monkeypatch.setenv("MYOWN_API_KEY", "sk-abc…")
    with pytest.raises(ConfigError, match="MYOWN_API_KEY"):
        read_settings({})
