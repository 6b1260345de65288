"""Loopback answers that carry an episode through: search, enhance_reasoning, answer. The right answer is 42."""

import json
from pathlib import Path

from loopback.openai_server import LoopbackServer, Reply, Rule

GOLD = "42"


def call(tool: str, model: str) -> Reply:
    """An orchestrator's turn."""
    return Reply(text=None, tool_calls=((tool, json.dumps({"model": model})),))


TURNS = [
    Rule([call("search", "search-1")], contains=("Call one tool now",), absent=("## Document",)),
    Rule([call("enhance_reasoning", "reasoner-1")], contains=("Call one tool now",), absent=("## Program",)),
    Rule([call("answer", "answer-1")], contains=("Call one tool now",)),
]
EXPERTS = [
    Rule([Reply(text="<query>the melting point of gallium</query>")], contains=("Write one query",)),
    Rule([Reply(text="```python\nprint(6 * 7)\n```")], contains=("Write one Python program",)),
    Rule([Reply(text=f"So it is.\n<answer>{GOLD}</answer>")], contains=("Answer the problem",)),
]


def server(**options: object) -> LoopbackServer:
    """One loopback server for every part of the chain; `script` replaces the usual answers."""
    options.setdefault("script", [*TURNS, *EXPERTS])
    options.setdefault("record", False)
    options.setdefault("model", "orchestrator")
    return LoopbackServer(**options)  # type: ignore[arg-type]


def questions(path: Path, ids: list[str]) -> Path:
    """A dataset whose every answer is 42."""
    with path.open("w", encoding="utf-8") as file:
        for id_ in ids:
            question = f"Question {id_}: what is six times seven?"
            file.write(json.dumps({"id": id_, "question": question, "answer": GOLD}) + "\n")
    return path


def numbered(n: int) -> list[str]:
    """n ids."""
    return [f"q{number:04}" for number in range(n)]
