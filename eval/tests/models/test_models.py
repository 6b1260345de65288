import pytest
from loopback.openai_server import LoopbackServer
from loopback.recording import RecordingSink, models_for, settings_for
from podium_contracts.names import ALIASES
from podium_eval.errors import ConfigError
from podium_eval.log.redact import secrets_of
from podium_eval.models.build import build_models
from podium_eval.settings.models import ModelSettings, expert_variable, provider_variable

VARIABLES = ("OPENAI", "TOGETHER", "NEBIUS", "EXPERT")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVE_MODEL", raising=False)
    for name in VARIABLES:
        for suffix in ("API_KEY", "BASE_URL", "CONCURRENCY"):
            monkeypatch.delenv(f"{name}_{suffix}", raising=False)
    for alias in ALIASES:
        monkeypatch.delenv(expert_variable(alias), raising=False)
    monkeypatch.delenv("EXPERT_DEFAULT", raising=False)
    monkeypatch.delenv("JUDGE", raising=False)


def problems_of(settings: ModelSettings) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        build_models(settings, RecordingSink(), ids={"run_id": "r"}, concurrency=4)
    return caught.value.problems


def test_everything_that_is_missing_is_told_at_once() -> None:
    problems = problems_of(
        ModelSettings(
            expert_search_1="together/a",
            expert_search_2="together/b",
            expert_reasoner_1="nebius/c",
            expert_answer_1="nowhere/d",
            expert_answer_2="no-slash",
            expert_answer_3="vllm/e",
            expert_answer_4="vllm/f@http://h/v1,ftp://g",
            judge="openai/g",
        )
    )
    text = "\n".join(problems)
    assert "TOGETHER_API_KEY is not set; it is needed by EXPERT_SEARCH_1, EXPERT_SEARCH_2" in text
    assert "NEBIUS_API_KEY is not set; it is needed by EXPERT_REASONER_1" in text
    assert "OPENAI_API_KEY is not set; it is needed by JUDGE" in text
    assert "EXPERT_ANSWER_1 names the provider 'nowhere'" in text
    assert "EXPERT_ANSWER_2='no-slash' is not provider/model" in text
    assert "EXPERT_ANSWER_3=vllm/e has no address" in text
    assert "EXPERT_BASE_URL" in text
    assert "EXPERT_ANSWER_4: 'ftp://g' is not an address" in text
    assert len(problems) == 7


def test_nothing_set_names_the_judge_and_the_answering_experts() -> None:
    text = "\n".join(problems_of(ModelSettings()))
    assert "JUDGE is not set" in text
    assert "EXPERT_DEFAULT" in text
    assert "EXPERT_ANSWER_1" in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"orchestrator_url": "localhost:1406"}, "ORCHESTRATOR_URL='localhost:1406' is not an address"),
        ({"orchestrator_provider": "nobody"}, "ORCHESTRATOR_PROVIDER names the provider 'nobody'"),
        ({"orchestrator_tokenizer": "/nowhere"}, "ORCHESTRATOR_TOKENIZER: /nowhere is not there"),
        ({"models_file": "/nowhere.toml"}, "MODELS_FILE=/nowhere.toml cannot be read"),
        ({"prices_file": "/nowhere.toml"}, "PRICES_FILE=/nowhere.toml cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], expected: str) -> None:
    assert expected in "\n".join(problems_of(settings_for("http://h/v1", **settings)))


def test_a_wrong_concurrency_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    # The field itself refuses words; an added provider's is read by name.
    assert provider_variable("my-host", "CONCURRENCY") == "MY_HOST_CONCURRENCY"
    with pytest.raises(ValueError, match="expert_concurrency"):
        settings_for("http://h/v1", expert_concurrency="many")


def test_unset_aliases_take_the_default_or_are_not_offered() -> None:
    models = models_for("http://h/v1", expert_answer_2="vllm/other@http://g/v1")
    assert tuple(models.experts) == ALIASES
    assert models.experts["answer-2"].model == "other"
    assert models.experts["answer-1"].model == "expert"
    models = models_for("http://h/v1", expert_default=None, expert_answer_math_1="vllm/m@http://g/v1")
    assert tuple(models.experts) == ("answer-math-1",)


async def test_models_on_one_server_share_its_limit_and_no_breaker() -> None:
    async with LoopbackServer() as server:
        models = models_for(server.base_url, expert_answer_1=f"vllm/x@{server.base_url}", expert_concurrency=5)
        assert {name: limit.maximum for name, limit in models.limits.items()} == {
            "orchestrator": 16,
            f"vllm {server.base_url}": 5,
        }
        named = ("vllm/orchestrator", "vllm/expert", "vllm/x", "vllm/judge")
        assert set(models.breakers) == {f"{model} at {server.base_url}" for model in named}
        await models.aclose()


def test_providers_on_the_internet_have_one_limit_each() -> None:
    models = models_for(
        "http://h/v1",
        expert_search_1="together/a",
        expert_search_2="together/b",
        expert_search_3="nebius/a",
        judge="openai/o3-mini",
        together_api_key="k",
        nebius_api_key="k",
        openai_api_key="k",
        together_concurrency=7,
    )
    assert {name: limit.maximum for name, limit in models.limits.items()} == {
        "orchestrator": 16,
        "together": 7,
        "nebius": 16,
        "openai": 16,
        "vllm http://h/v1": 16,
    }


async def test_the_context_of_an_own_server_is_learnt_from_it() -> None:
    async with LoopbackServer(model="orchestrator", context_tokens=8192) as server:
        models = models_for(server.base_url)
        assert models.orchestrator.context_tokens is None
        await models.learn()
        assert models.orchestrator.context_tokens == 8192
        assert models.experts["answer-1"].context_tokens is None
        await models.aclose()


async def test_a_run_is_described_without_secrets() -> None:
    async with LoopbackServer() as server:
        port = server.port
        models = models_for(
            f"http://user:p4ssword@127.0.0.1:{port}/v1",
            judge="openai/gpt-4.1",
            openai_api_key="sk-very-secret",
        )
        described = models.describe()
        from podium_eval.models.chat import ChatRequest

        result = await models.experts["answer-1"].complete(ChatRequest(user="q"))
        await models.aclose()
        assert server.requests[0].headers["authorization"] == "Basic dXNlcjpwNHNzd29yZA=="
    assert result.server == f"http://127.0.0.1:{port}/v1"
    assert described["judge"]["model"] == "gpt-4.1"
    assert described["judge"]["context_tokens"] == 1047576
    assert described["experts"]["answer-1"]["addresses"] == [f"http://127.0.0.1:{port}/v1"]
    assert described["prices"]["tokens_per_million"]["openai/gpt-4.1"]["input"] == 2.0
    assert described["prices"]["tokens_per_million"]["vllm/expert"] is None
    assert "p4ssword" not in str(described)
    assert "secret" not in str(described)


def test_keys_of_added_providers_are_secrets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_HOST_API_KEY", "k-added-123")
    monkeypatch.setenv("MY_HOST_BASE_URL", "http://there/v1")
    settings = ModelSettings(openai_api_key="k-openai-123")
    assert {"k-added-123", "k-openai-123"} <= set(secrets_of(settings))
    assert settings.provider_value("my-host", "BASE_URL") == "http://there/v1"
    assert "k-added-123" not in str(settings.model_dump()) + repr(settings)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("EXPERT_ANSWER_1", "")
    settings = ModelSettings()
    assert settings.openai_api_key is None
    assert settings.expert("answer-1") is None


def test_every_alias_has_its_variable() -> None:
    assert {expert_variable(alias).lower() for alias in ALIASES} <= set(ModelSettings.model_fields)
    with pytest.raises(ValueError, match="answer-9"):
        expert_variable("answer-9")


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in ModelSettings.model_fields.items() if not field.description] == []
