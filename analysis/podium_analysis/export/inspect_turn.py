"""One turn of a task record in inspect_ai's terms: messages, events, usage."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from podium_contracts.records import Turn


class Clock:
    """Where in the sample the transcript is: the record has durations, not a time for each event."""

    def __init__(self, started: str) -> None:
        self.start = datetime.fromisoformat(started)
        self.elapsed_ms = 0.0

    def now(self, span: str | None = None) -> dict[str, Any]:
        at = self.start + timedelta(milliseconds=self.elapsed_ms)
        return {"timestamp": at.isoformat(), "working_start": self.elapsed_ms / 1000, "span_id": span}

    def pass_ms(self, ms: float | None) -> str:
        self.elapsed_ms += ms or 0.0
        return (self.start + timedelta(milliseconds=self.elapsed_ms)).isoformat()


def model_event(
    turn: Turn, span: str, orchestrator: str, before: Sequence[dict[str, Any]], clock: Clock
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The orchestrator's message of a turn, and its ModelEvent."""
    clock.pass_ms(turn.wait_ms)
    content: str | list[dict[str, Any]] = turn.content or ""
    if turn.reasoning:
        content = [{"type": "reasoning", "reasoning": turn.reasoning}, {"type": "text", "text": turn.content or ""}]
    message: dict[str, Any] = {
        "id": f"{span}-call",
        "role": "assistant",
        "source": "generate",
        "model": orchestrator,
        "content": content,
    }
    if turn.tool:
        message["tool_calls"] = [
            {"id": f"{span}-tool", "function": turn.tool, "arguments": turn.arguments, "type": "function"}
        ]
    output: dict[str, Any] = {
        "model": orchestrator,
        "choices": [{"message": message, "stop_reason": "tool_calls" if turn.tool else "stop"}],
    }
    if turn.orchestrator_ms is not None:
        output["time"] = turn.orchestrator_ms / 1000
    usage = _usage(turn)
    if usage is not None:
        output["usage"] = usage
    timings = {
        name: getattr(turn, name)
        for name in ("queue_ms", "prefill_ms", "decode_ms", "wait_ms")
        if getattr(turn, name) is not None
    }
    event: dict[str, Any] = {
        "event": "model",
        "model": orchestrator,
        "role": "orchestrator",
        # Podium writes each turn's prompt anew from what is known; the conversation so far is what it was made of.
        "input": before[:1],
        "tools": list[Any](),
        "tool_choice": "auto",
        "config": dict[str, Any](),
        "output": output,
        "metadata": timings,
    } | clock.now(span)
    event["completed"] = clock.pass_ms(turn.orchestrator_ms)
    if turn.orchestrator_ms is not None:
        event["working_time"] = turn.orchestrator_ms / 1000
    return message, event


def tool_event(turn: Turn, span: str, clock: Clock) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tool's message of a turn, and its ToolEvent."""
    result = tool_result(turn)
    error = None
    if turn.status != "ok":
        kind = "parsing" if turn.status == "invalid" else "timeout" if turn.error_type == "timeout" else "unknown"
        error = {"type": kind, "message": turn.error_message or turn.error_type or turn.status}
    message: dict[str, Any] = {
        "id": f"{span}-result",
        "role": "tool",
        "tool_call_id": f"{span}-tool",
        "function": turn.tool or "none",
        "content": result,
    }
    event: dict[str, Any] = {
        "event": "tool",
        "id": f"{span}-tool",
        "function": turn.tool or "none",
        "arguments": turn.arguments,
        "result": result,
        "message_id": message["id"],
        "metadata": {
            name: getattr(turn, name) for name in ("alias", "provider", "model") if getattr(turn, name) is not None
        },
    } | clock.now(span)
    event["completed"] = clock.pass_ms(turn.tool_ms)
    if turn.tool_ms is not None:
        event["working_time"] = turn.tool_ms / 1000
    if error:
        message["error"] = event["error"] = error
    return message, event


def tool_result(turn: Turn) -> str:
    """What the tool brought, as text: query and documents, code and output, or the expert's answer."""
    parts: list[str] = []
    if turn.query:
        parts.append(f"query: {turn.query}")
    for document in turn.documents:
        title = document.get("title") or document.get("id") or "document"
        parts.append(f"## {title}\n{document.get('contents') or document.get('content') or ''}")
    if turn.code:
        parts.append(f"```python\n{turn.code.rstrip()}\n```")
    for name in ("stdout", "stderr"):
        if getattr(turn, name):
            parts.append(f"{name}:\n{getattr(turn, name)}")
    if turn.exec_status and turn.exec_status != "ok":
        parts.append(f"ended: {turn.exec_status}")
    if turn.result:
        parts.append(turn.result)
    if not parts and turn.response:
        parts.append(turn.response)
    return "\n\n".join(parts)


def _usage(turn: Turn) -> dict[str, Any] | None:
    """None where the server reported no counts. inspect_ai counts cached tokens apart from the input."""
    if turn.prompt_tokens is None or turn.completion_tokens is None:
        return None
    cached = turn.cached_tokens
    usage: dict[str, Any] = {
        "input_tokens": turn.prompt_tokens - (cached or 0),
        "output_tokens": turn.completion_tokens,
        "total_tokens": turn.prompt_tokens + turn.completion_tokens,
    }
    return usage if cached is None else usage | {"input_tokens_cache_read": cached}


def add_usage(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add one ModelUsage to another, in place."""
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def usage_of(turns: Sequence[Turn], model: str) -> dict[str, Any]:
    """ModelUsage by model over the turns; empty where no server reported counts."""
    total: dict[str, Any] = {}
    for turn in turns:
        add_usage(total, _usage(turn) or {})
    return {model: total} if total else {}
