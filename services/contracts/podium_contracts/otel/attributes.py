"""Attributes of spans: names of the GenAI semantic conventions 1.41.0, of vLLM's own spans where those have none for a
server's queue, prefill and decode (seconds), and podium.* for the rest. What is not known is left out."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

Event = Mapping[str, Any]
LONGEST: Final = 16_384
"""Characters of one attribute of content; more is cut, and marked so."""
_SECONDS: Final = {
    "queue_ms": "gen_ai.latency.time_in_queue",
    "prefill_ms": "gen_ai.latency.time_in_model_prefill",
    "decode_ms": "gen_ai.latency.time_in_model_decode",
    "wait_ms": "podium.wait",
    "admission_ms": "podium.admission",
    "retry_ms": "podium.retry",
}
_CALL: Final = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "role": "podium.role",
    "alias": "podium.alias",
    "step": "podium.step",
    "attempts": "podium.attempts",
    "timing_source": "podium.timing_source",
    "cost_usd": "podium.cost_usd",
}
_TOOL: Final = ("step", "alias", "status", "exec_status", "n_documents", "n_new_documents", "cost_usd", "web_error")
_TOOL_MS: Final = (
    *("expert_ms", "judge_ms", "exec_ms", "query_ms", "retrieval_ms", "web_ms", "code_ms"),
    *("retrieval_queue_ms", "retrieval_encode_ms", "retrieval_search_ms"),
)
_TASK: Final = (
    *("run_id", "task_id", "epoch", "segment", "status", "ending", "correct", "confidence", "rounds"),
    *("invalid_turns", "cost_usd", "category"),
)


def chat(event: Event, requested: str | None) -> dict[str, Any]:
    """Of a model call. requested: the model's configured name, where known."""
    server = urlsplit(str(event.get("server") or ""))
    finish = event.get("finish_reason")
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": event.get("provider"),
            "gen_ai.request.model": requested,
            "gen_ai.response.model": event.get("model"),
            "gen_ai.response.finish_reasons": [finish] if finish else None,
            "server.address": server.hostname,
            "server.port": server.port or (443 if server.scheme == "https" else 80 if server.hostname else None),
            **{name: event.get(field) for field, name in _CALL.items()},
            **{name: _seconds(event.get(field)) for field, name in _SECONDS.items()},
        }
    )


def tool(event: Event, name: str) -> dict[str, Any]:
    """Of a turn's tool."""
    parts: Mapping[str, Any] = event.get("parts_ms") or {}
    return _known(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            **{f"podium.{field}": event.get(field) for field in _TOOL},
            **{f"podium.{field.removesuffix('_ms')}": _seconds(event.get(field)) for field in _TOOL_MS},
            **{f"podium.part.{part}": _seconds(took) for part, took in parts.items()},
        }
    )


def agent(event: Event, provider: str | None, model: str | None) -> dict[str, Any]:
    """Of a whole task."""
    return _known(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "podium",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.conversation.id": f"{event['task_id']}#{event.get('epoch') or 1}",
            **{f"podium.{field}": event.get(field) for field in _TASK},
        }
    )


def evaluation(event: Event) -> dict[str, Any]:
    """Of a judgement."""
    correct = event.get("correct")
    return _known(
        {
            "gen_ai.evaluation.name": event.get("protocol"),
            "gen_ai.evaluation.score.value": None if correct is None else float(correct),
            "gen_ai.evaluation.score.label": None if correct is None else "correct" if correct else "incorrect",
            "error.type": event.get("error_type"),
            "podium.judge.model": event.get("model"),
            "podium.judge.method": event.get("method"),
            "podium.confidence": event.get("confidence"),
            "podium.judge.duration": _seconds(event.get("duration_ms")),
        }
    )


def agent_content(record: Event) -> dict[str, Any]:
    """The question and the answer."""
    return _known(
        {
            "gen_ai.input.messages": _message("user", _text(record.get("question"))),
            "gen_ai.output.messages": _message("assistant", _text(record.get("answer_text")), "stop"),
        }
    )


def turn_content(turn: Event) -> dict[str, Any]:
    """What the orchestrator returned."""
    call = {"type": "tool_call", "name": turn.get("tool"), "arguments": turn.get("arguments")}
    parts = [*_text(turn.get("content")), *([call] if turn.get("tool") else [])]
    return _known({"gen_ai.output.messages": _message("assistant", parts, "tool_call")})


def tool_content(turn: Event) -> dict[str, Any]:
    """What the tool was given and what it brought."""
    names = ("query", "code", "stdout", "stderr", "response", "result", "documents")
    brought = {name: turn[name] for name in names if turn.get(name)}
    return _known(
        {
            "gen_ai.tool.call.arguments": _json(turn["arguments"]) if turn.get("arguments") else None,
            "gen_ai.tool.call.result": _json(brought) if brought else None,
        }
    )


def _text(value: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "content": _cut(str(value))}] if value else []


def _message(role: str, parts: list[dict[str, Any]], finish: str | None = None) -> str | None:
    message: dict[str, Any] = {"role": role, "parts": parts}
    if finish is not None:
        message["finish_reason"] = finish
    return _json([message], cut=False) if parts else None


def _json(value: Any, *, cut: bool = True) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _cut(text) if cut else text


def _cut(text: str) -> str:
    # A lone surrogate, which a model's JSON can hold, is no UTF-8 that a collector could read.
    kept = text[:LONGEST].encode("utf-8", "replace").decode()
    return kept if len(text) <= LONGEST else f"{kept} [cut: {len(text):,} characters]"


def _seconds(ms: Any) -> float | None:
    return None if ms is None else float(ms) / 1000


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
