"""Each row of the provider table against a server that enforces what that provider refuses.

The rules here are written by hand from the providers' documentation, not derived from the table: a wrong quirk in the
table is refused by the server, and each `wrong` below shows that it would be.
"""

import dataclasses
from typing import Any

import pytest
from loopback.openai_server import LoopbackServer, Recorded, Rules
from loopback.recording import QUICK, RecordingSink
from podium_eval.errors import Failure
from podium_eval.models.build import build_models
from podium_eval.models.chat import ChatRequest, ChatResult, Form, ToolSpec
from podium_eval.models.providers import ProviderTable
from podium_eval.settings.models import ModelSettings

TOOL = ToolSpec("search", "d", {"type": "object", "properties": {}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
EVERYTHING = ChatRequest(
    user="what is it?",
    system="you know things",
    tools=[TOOL],
    tool_choice="required",
    temperature=0.0,
    max_tokens=64,
    form=Form(json_schema=SCHEMA),
)

OPENAI = Rules(
    api_key="k-openai", max_tokens_field="max_completion_tokens", strict_fields=True, structured_outputs=False
)
OPENAI_REASONING = dataclasses.replace(OPENAI, temperature=False)
TOGETHER = Rules(api_key="k-together", max_tokens_field="max_tokens", structured_outputs=False)
NEBIUS = Rules(api_key="k-nebius", max_tokens_field="max_tokens", structured_outputs=False)

ROWS = [
    ("openai/gpt-4o-2024-08-06", OPENAI, {"max_tokens": "max_tokens"}),
    ("openai/gpt-4.1", OPENAI, {"max_tokens": "max_tokens"}),
    ("openai/o3-mini-2025-01-31", OPENAI_REASONING, {"temperature": True}),
    ("openai/gpt-5", OPENAI_REASONING, {"temperature": True}),
    ("openai/gpt-5-mini-2025-08-07", OPENAI_REASONING, {"max_tokens": "max_tokens"}),
    ("openai/gpt-5.6-sol", OPENAI_REASONING, {"temperature": True}),
    ("openai/gpt-6.1-sol", OPENAI_REASONING, {"chat_template_kwargs": {"enable_thinking": False}}),
    ("together/openai/gpt-oss-120b", TOGETHER, {"max_tokens": "max_completion_tokens"}),
    ("together/deepseek-ai/DeepSeek-V4-Pro-0813", TOGETHER, {"max_tokens": "max_completion_tokens"}),
    ("together/someone/Qwen3-32B-3f2a91bc", TOGETHER, {"max_tokens": "max_completion_tokens"}),
    ("nebius/Qwen/Qwen3-32B", NEBIUS, {"max_tokens": "max_completion_tokens"}),
    ("nebius/meta-llama/Llama-3.3-70B-Instruct", NEBIUS, {"max_tokens": "max_completion_tokens"}),
]


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml_value(item)}" for name, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


async def asked(
    expert: str, server: LoopbackServer, request: ChatRequest, models_file: Any = None, **settings: Any
) -> ChatResult:
    values: dict[str, Any] = {
        "orchestrator_url": server.base_url,
        "judge": expert,
        "expert_answer_1": expert,
        "openai_base_url": server.base_url,
        "together_base_url": server.base_url,
        "nebius_base_url": server.base_url,
        "expert_base_url": server.base_url,
        "openai_api_key": "k-openai",
        "together_api_key": "k-together",
        "nebius_api_key": "k-nebius",
        "models_file": models_file,
        **QUICK,
        **settings,
    }
    models = build_models(ModelSettings(**values), RecordingSink(), ids={"run_id": "r"}, concurrency=2)
    try:
        return await models.experts["answer-1"].complete(request)
    finally:
        await models.aclose()


@pytest.mark.parametrize(("expert", "rules", "wrong"), ROWS, ids=[row[0] for row in ROWS])
async def test_a_row_is_taken_and_a_wrong_quirk_is_refused(
    expert: str, rules: Rules, wrong: dict[str, Any], tmp_path: Any
) -> None:
    provider, model = expert.split("/", 1)
    async with LoopbackServer(rules=rules) as server:
        result = await asked(expert, server, EVERYTHING)
        assert result.text == "ok"
        body = server.requests[-1].body
        assert body["model"] == model
        assert body["tools"][0]["function"]["name"] == "search"
        assert body["response_format"]["json_schema"]["schema"] == SCHEMA
        override = tmp_path / "models.toml"
        fields = "\n".join(f"{name} = {toml_value(value)}" for name, value in wrong.items())
        override.write_text(f'[[model]]\nprovider = "{provider}"\nmodel = "{model}"\n{fields}\n')
        with pytest.raises(Failure) as caught:
            await asked(expert, server, EVERYTHING, models_file=override)
    assert caught.value.error_type == "bad_request"
    assert caught.value.attempts == 1


def test_every_provider_of_the_table_is_exercised_here() -> None:
    assert {row[0].split("/")[0] for row in ROWS} | {"vllm"} == set(ProviderTable.load().names)


@pytest.mark.parametrize("stream", ["free", "always"])
async def test_vllm_takes_all_that_it_knows(stream: str, tmp_path: Any) -> None:
    override = tmp_path / "models.toml"
    override.write_text(
        f'[[model]]\nprovider = "vllm"\nmodel = "m"\nstream = "{stream}"\nvision = true\nreasoning_effort = "low"\n'
        "chat_template_kwargs = {enable_thinking = false}\n"
    )
    rules = Rules(chat_template_kwargs=("enable_thinking",), stream="only" if stream == "always" else "never")
    image = "data:image/png;base64,AAAA"
    async with LoopbackServer(rules=rules) as server:
        request = dataclasses.replace(EVERYTHING, image=image, form=Form(regex="a|b"))
        result = await asked("vllm/m", server, request, models_file=override)
        body = server.requests[-1].body
    assert result.text == "ok"
    assert body["structured_outputs"] == {"regex": "a|b"}
    assert body["reasoning_effort"] == "low"
    assert body["messages"][1]["content"][1] == {"type": "image_url", "image_url": {"url": image}}
    assert "authorization" not in server.requests[-1].headers


@pytest.mark.parametrize(
    ("quirk", "rules"),
    [
        ('system = "user"', Rules(system_role=False)),
        ("tool_choice = false", Rules(tool_choice=False)),
        ("stream_usage = false\nstream = 'always'", Rules(stream_options=False, stream="only")),
    ],
)
async def test_a_users_own_quirk_is_needed_and_enough(quirk: str, rules: Rules, tmp_path: Any) -> None:
    override = tmp_path / "models.toml"
    override.write_text(f'[[model]]\nprovider = "vllm"\nmodel = "odd*"\n{quirk}\n')
    async with LoopbackServer(rules=rules) as server:
        assert (await asked("vllm/odd-1", server, EVERYTHING, models_file=override)).text == "ok"
        with pytest.raises(Failure):
            await asked("vllm/odd-1", server, EVERYTHING)


async def test_a_row_without_json_schema_spares_the_refused_call(tmp_path: Any) -> None:
    override = tmp_path / "models.toml"
    override.write_text('[[model]]\nprovider = "vllm"\nmodel = "odd*"\njson_schema = false\n')
    async with LoopbackServer(rules=Rules(response_format=False)) as server:
        with_row = await asked("vllm/odd-1", server, EVERYTHING, models_file=override)
        without = await asked("vllm/odd-1", server, EVERYTHING)
    assert (with_row.text, with_row.attempts) == ("ok", 1)
    assert (without.text, without.attempts) == ("ok", 2)


async def test_without_a_system_role_its_text_begins_the_users(tmp_path: Any) -> None:
    override = tmp_path / "models.toml"
    override.write_text('[[model]]\nprovider = "vllm"\nmodel = "m"\nsystem = "user"\n')
    async with LoopbackServer() as server:
        await asked("vllm/m", server, EVERYTHING, models_file=override)
        assert server.requests[0].body["messages"] == [{"role": "user", "content": "you know things\n\nwhat is it?"}]


@pytest.mark.parametrize(
    ("quirk", "request_"), [("tools = false", EVERYTHING), ("vision = false", ChatRequest(user="q", image="data:,"))]
)
async def test_what_a_row_rules_out_is_not_even_sent(quirk: str, request_: ChatRequest, tmp_path: Any) -> None:
    override = tmp_path / "models.toml"
    override.write_text(f'[[model]]\nprovider = "vllm"\nmodel = "m"\n{quirk}\n')
    async with LoopbackServer() as server:
        with pytest.raises(Failure) as caught:
            await asked("vllm/m", server, request_, models_file=override)
        assert server.stats.chat_requests == 0
    assert caught.value.error_type == "bad_request"


async def test_an_added_provider_is_a_row_and_its_variables(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules(api_key="k-added", max_tokens_field="max_completion_tokens")
    async with LoopbackServer(rules=rules) as server:
        override = tmp_path / "models.toml"
        override.write_text(
            f'[[provider]]\nname = "my-host"\nbase_url = "{server.base_url}"\nmax_tokens = "max_completion_tokens"\n'
        )
        monkeypatch.setenv("MY_HOST_API_KEY", "k-added")
        result = await asked("my-host/some/model", server, EVERYTHING, models_file=override)
    assert (result.provider, result.text) == ("my-host", "ok")


async def test_together_explains_a_refused_endpoint_id() -> None:
    async with LoopbackServer(rules=dataclasses.replace(TOGETHER, models=("openai/gpt-oss-120b",))) as server:
        with pytest.raises(Failure) as caught:
            await asked("together/endpoint-c2a4-9ec7", server, EVERYTHING)
    assert caught.value.error_type == "unknown_model"
    assert "by its name" in caught.value.message


async def test_the_openai_packages_own_variables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k-env")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-env")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-env")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Env: yes\nAuthorization: Bearer env")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "env-admin")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with LoopbackServer(rules=TOGETHER) as server:
        await asked("together/m", server, ChatRequest(user="q"))
        recorded: Recorded = server.requests[0]
    assert recorded.headers["authorization"] == "Bearer k-together"
    assert set(recorded.headers) <= {
        *("host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent")
    }


async def test_a_key_in_the_environment_changes_nothing_that_was_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LoopbackServer() as mine, LoopbackServer() as other:
        monkeypatch.setenv("OPENAI_API_KEY", "k-env")
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url)
        settings = ModelSettings(
            orchestrator_url=mine.base_url,
            expert_answer_1=f"vllm/openai/gpt-oss@{mine.base_url}",
            judge=f"vllm/judge@{mine.base_url}",
        )
        models = build_models(settings, RecordingSink(), ids={"run_id": "r"}, concurrency=2)
        for chat in (models.orchestrator, models.experts["answer-1"], models.judge):
            assert (await chat.complete(ChatRequest(user="q"))).server == mine.base_url
        await models.aclose()
    assert other.stats.requests == 0
    assert all("authorization" not in request.headers for request in mine.requests)


async def test_swapping_an_expert_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LoopbackServer(rules=TOGETHER) as first, LoopbackServer(rules=NEBIUS) as second:
        for name in ("TOGETHER", "NEBIUS"):
            monkeypatch.setenv(f"{name}_API_KEY", f"k-{name.lower()}")
        monkeypatch.setenv("TOGETHER_BASE_URL", first.base_url)
        monkeypatch.setenv("NEBIUS_BASE_URL", second.base_url)
        monkeypatch.setenv("JUDGE", "together/judge")
        answered = []
        for line in ("together/openai/gpt-oss-120b", "nebius/Qwen/Qwen3-32B"):
            monkeypatch.setenv("EXPERT_ANSWER_3", line)
            models = build_models(ModelSettings(), RecordingSink(), ids={"run_id": "r"}, concurrency=2)
            result = await models.experts["answer-3"].complete(ChatRequest(user="q"))
            answered.append((result.provider, result.model, result.server))
            await models.aclose()
    assert answered == [
        ("together", "openai/gpt-oss-120b", first.base_url),
        ("nebius", "Qwen/Qwen3-32B", second.base_url),
    ]
