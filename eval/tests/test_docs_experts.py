"""The three .env files of docs/experts.md, read as a user's and wired to servers that hold each provider's rules."""

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from harness.chain import EXPERTS, call, questions, server
from harness.process import Eval
from loopback.openai_server import LoopbackServer, Rule, Rules
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


async def test_the_smallest_configuration_starts_a_run(tmp_path: Path) -> None:
    (smallest,) = re.findall(r"## The smallest\n.*?```dotenv\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    script = [Rule([call("answer", "answer-1")], contains=("Call one tool now",)), *EXPERTS]
    async with server(script=script) as stub, server(rules=RULES["openai"]) as openai:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]), check=1)
        env = dict.fromkeys(("EXPERT_DEFAULT", "JUDGE"), "") | {"OPENAI_BASE_URL": f"{openai.address}/v1"}
        env |= dict(line.split("=", 1) for line in smallest.split())
        stub.execution = {"status": "ok", "exit_code": 0, "stdout": "1\n", "stderr": "", "duration_ms": 1.0}
        stub.execution["truncated"] = False
        assert await run.run(env=env) == 0, run.said
    assert [record.status for record in run.records().values()] == ["done"]
