"""The three .env files of docs/experts.md, read as a user's and wired to servers that hold each provider's rules."""

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from loopback.openai_server import LoopbackServer, Rules
from loopback.recording import QUICK, RecordingSink
from podium_contracts.names import ALIASES
from podium_eval.models.build import build_models
from podium_eval.models.chat import ChatRequest, Form
from podium_eval.settings.models import ModelSettings, expert_variable

PAGE = Path(__file__).parents[2] / "docs" / "experts.md"
FILES = re.findall(r"### (.+?)\n.*?```dotenv\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

RULES = {
    "openai": Rules(
        api_key="your-openai-key",
        max_tokens_field="max_completion_tokens",
        strict_fields=True,
        temperature=False,
    ),
    "together": Rules(api_key="your-together-key", max_tokens_field="max_tokens", structured_outputs=False),
    "nebius": Rules(api_key="your-nebius-key", max_tokens_field="max_tokens", structured_outputs=False),
}


def test_there_are_three() -> None:
    assert [title for title, _ in FILES] == ["All local", "Open models on Together and Nebius", "OpenAI"]


@pytest.mark.parametrize(("title", "text"), FILES, ids=[title for title, _ in FILES])
async def test_every_alias_of_the_file_answers(
    title: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*map(expert_variable, ALIASES), "EXPERT_DEFAULT", "JUDGE"):
        monkeypatch.delenv(name, raising=False)
    for name in RULES:
        monkeypatch.delenv(f"{name.upper()}_API_KEY", raising=False)
    async with contextlib.AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(LoopbackServer(rules=rules)) for name, rules in RULES.items()}
        own = await stack.enter_async_context(LoopbackServer())
        # Only the addresses differ from what the page shows: they cannot be reached in a test.
        env = tmp_path / ".env"
        env.write_text(re.sub(r"http://127\.0\.0\.1:800\d/v1", own.base_url, text))
        addresses: dict[str, Any] = {f"{name}_base_url": server.base_url for name, server in servers.items()}
        settings = ModelSettings(_env_file=env, orchestrator_url=own.base_url, **addresses, **QUICK)  # pyright: ignore[reportCallIssue]
        models = build_models(settings, RecordingSink(), ids={"run_id": "docs"}, concurrency=13)
        stack.push_async_callback(models.aclose)
        assert tuple(models.experts) == ALIASES
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        request = ChatRequest(user="q", temperature=0.0, max_tokens=9, form=Form(json_schema=schema))
        for alias, chat in {**models.experts, "judge": models.judge}.items():
            result = await chat.complete(request)
            configured = text.split(f"{expert_variable(alias) if alias != 'judge' else 'JUDGE'}=")
            line = configured[1] if len(configured) > 1 else text.split("EXPERT_DEFAULT=")[1]
            assert f"{result.provider}/{result.model}" == line.splitlines()[0].split("@")[0]
