import pytest
from podium_contracts.env_names import distance, doubtful, setting_names


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("CONCURENCY", "CONCURENCY is no setting: did you mean CONCURRENCY?"),
        ("JUGDE", "JUGDE is no setting: did you mean JUDGE?"),
        ("RETREIVAL_URL", "RETREIVAL_URL is no setting: did you mean RETRIEVAL_URL?"),
        ("SERVE_MODLE", "SERVE_MODLE is no setting: did you mean SERVE_MODEL?"),
        ("RETRIEVAL_FANCY", "RETRIEVAL_FANCY is no setting; .env.example lists all"),
    ],
)
def test_a_name_that_looks_like_a_setting_is_told(name: str, line: str) -> None:
    assert doubtful([name]) == [line]


@pytest.mark.parametrize("name", ["PATH", "HOME", "NOVITA_API_KEY", "concurrency", "LIMIT", "EDITOR", "é"])
def test_other_names_are_let_be(name: str) -> None:
    assert doubtful([name]) == []


def test_an_environment_may_hold_names_of_others() -> None:
    assert doubtful(["RETRIEVAL_FANCY", "CONCURENCY"], strangers=False) == [
        "CONCURENCY is no setting: did you mean CONCURRENCY?"
    ]


def test_every_setting_is_known() -> None:
    assert doubtful(setting_names()) == []
    assert {"RUN_ID", "JUDGE_MAX_TOKENS", "SERVE_MODEL", "SANDBOX_PORT"} <= setting_names()


@pytest.mark.parametrize(
    ("one", "other", "apart"), [("abc", "abc", 0), ("abc", "abd", 1), ("abc", "acb", 2), ("abc", "xyz", 3)]
)
def test_letters_apart(one: str, other: str, apart: int) -> None:
    assert distance(one, other) == apart
