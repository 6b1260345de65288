import io
from pathlib import Path

import pytest
from loopback.openai_server import Fault, LoopbackServer, Reply
from podium_eval.commands.probe import probe
from podium_eval.errors import ConfigError
from podium_eval.settings.read import Settings
from rich.console import Console

GOOD = "<query>primes above 100</query>\n```python\nprint(101)\n```\nExplanation: e\nAnswer: 101\nConfidence: 90%"
VERDICT = '{"extracted_final_answer": "101", "reasoning": "same", "correct": "yes", "confidence": 90, "strict": true}'


def reply(body: dict[str, object]) -> Reply | Fault:
    model = body["model"]
    if model == "broken":
        return Fault("status", 401)
    return Reply(text=VERDICT if model == "judge" else "no idea" if model == "dull" else GOOD)


async def probed(names: list[str], server: LoopbackServer, **changes: str) -> tuple[int, str]:
    screen = io.StringIO()
    settings = Settings(
        orchestrator_url=server.base_url,
        expert_default=f"vllm/good@{server.base_url}",
        judge=f"vllm/judge@{server.base_url}",
        **changes,  # pyright: ignore[reportArgumentType]
    )
    status = await probe(names, settings, Console(file=screen, width=200))
    return status, screen.getvalue()


async def test_every_alias_is_asked_and_its_answer_read() -> None:
    async with LoopbackServer(handler=reply) as server:
        status, shown = await probed(["all"], server)
    assert status == 0
    assert server.stats.chat_requests == 13
    for line, extracted in (("search-1", "primes above 100"), ("reasoner-2", "print(101)"), ("answer-4", "101")):
        assert any(row.startswith(line) and extracted in row for row in shown.splitlines()), shown
    assert "correct: yes" in shown
    assert "?" in shown


async def test_a_refused_key_and_a_useless_answer_are_shown() -> None:
    async with LoopbackServer(handler=reply) as server:
        status, shown = await probed(
            ["answer-1", "answer-2"],
            server,
            expert_answer_1=f"vllm/broken@{server.base_url}",
            expert_answer_2=f"vllm/dull@{server.base_url}",
        )
    assert status == 1
    assert "answer-1: auth: " in shown
    assert "EXPERT_API_KEY" in shown
    assert "nothing" in shown


async def test_variables_can_come_from_a_file(tmp_path: Path) -> None:
    async with LoopbackServer(handler=reply) as server:
        env = tmp_path / "my.env"
        env.write_text(f"EXPERT_ANSWER_1=vllm/from-the-file@{server.base_url}\nJUDGE=vllm/judge@{server.base_url}\n")
        status, shown = await probed(["answer-1", "--env-file", str(env)], server)
    assert status == 0
    assert "vllm/from-the-file" in shown


async def test_an_unknown_alias_is_refused() -> None:
    async with LoopbackServer() as server:
        with pytest.raises(ConfigError, match="answer-9 is no configured alias"):
            await probed(["answer-9"], server)
        assert server.stats.requests == 0
