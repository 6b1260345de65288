"""A task record as a sample of inspect_ai's log: its messages, its transcript of events, its score."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from podium_contracts.records import Judgement, TaskRecord, Turn

SCORER: Final = "podium"
_LIMITS: Final[Mapping[str, str]] = {"round_limit": "turn", "context_limit": "context", "time_limit": "time"}


def sample(record: TaskRecord, *, orchestrator: str, max_rounds: float | None) -> dict[str, Any]:
    """An EvalSample. Times in seconds, of the record's own durations; the transcript lays turns one after another."""
    clock = _Clock(record.started_ts)
    events: list[dict[str, Any]] = [
        {
            "event": "sample_init",
            "sample": {"id": record.task_id, "input": record.question, "target": record.gold_answer},
        }
        | clock.now("init")
    ]
    messages: list[dict[str, Any]] = [
        {"id": f"{record.key}-q", "role": "user", "content": record.question, "source": "input"}
    ]
    output: dict[str, Any] = {"model": orchestrator, "choices": []}
    for turn in record.turns:
        span = f"{record.key}-turn-{turn.step}"
        events.append(
            {"event": "span_begin", "id": span, "name": f"turn {turn.step}", "type": "turn"} | clock.now(span)
        )
        call, model_event = _model_event(turn, span, orchestrator, messages, clock)
        events.append(model_event)
        messages.append(call)
        output = model_event["output"]
        answer, tool_event = _tool_event(turn, span, clock)
        events.append(tool_event)
        messages.append(answer)
        events.append({"event": "span_end", "id": span} | clock.now(span))
    found: dict[str, Any] = {
        "id": record.task_id,
        "epoch": record.epoch,
        "input": record.question,
        "target": record.gold_answer,
        "messages": messages,
        "output": _final_output(record, output),
        "metadata": _metadata(record),
        "store": {},
        "model_usage": _usage_of(record.turns, orchestrator),
        "started_at": record.started_ts,
        "completed_at": record.finished_ts,
        "total_time": record.duration_ms / 1000,
        "working_time": (record.duration_ms - sum(turn.wait_ms or 0.0 for turn in record.turns)) / 1000,
        "uuid": record.key,
    }
    score = _score(record)
    if score is not None:
        found["scores"] = {SCORER: score}
        events.append(
            {"event": "score", "score": score, "target": record.gold_answer, "scorer": SCORER} | clock.now("score")
        )
    if record.status == "error":
        message = ": ".join(part for part in (record.error_type, record.error_message) if part) or "error"
        found["error"] = {
            "message": message,
            "traceback": record.traceback or "",
            "traceback_ansi": record.traceback or "",
        }
    elif record.ending in _LIMITS:
        # inspect_ai wants the limit's value; of a token or time limit the record does not tell it.
        value = max_rounds if record.ending == "round_limit" and max_rounds is not None else record.rounds
        found["limit"] = {"type": _LIMITS[record.ending], "limit": float(value), "reason": record.ending}
    found["events"] = events
    return found


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """An EvalSampleSummary of what `sample` made: what the viewer's list shows before a sample is opened."""
    names = ("id", "epoch", "input", "target", "scores", "model_usage", "started_at", "completed_at", "total_time")
    short = {name: found[name] for name in (*names, "working_time", "uuid") if name in found}
    if "limit" in found:
        short["limit"] = found["limit"]["type"]
    if "error" in found:
        short["error"] = found["error"]["message"]
    metadata: Mapping[str, Any] = found["metadata"]
    kept = {name: metadata[name] for name in ("category", "answer_type", "ending", "rounds") if name in metadata}
    return short | {
        "input": _shorten(found["input"]),
        "target": _shorten(found["target"]),
        "metadata": kept,
        "completed": True,
        "message_count": len(found["messages"]),
    }


class _Clock:
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


def _model_event(
    turn: Turn, span: str, orchestrator: str, before: Sequence[dict[str, Any]], clock: _Clock
) -> tuple[dict[str, Any], dict[str, Any]]:
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


def _tool_event(turn: Turn, span: str, clock: _Clock) -> tuple[dict[str, Any], dict[str, Any]]:
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
    if not parts and turn.response:
        parts.append(turn.response)
    return "\n\n".join(parts)


def _final_output(record: TaskRecord, last: dict[str, Any]) -> dict[str, Any]:
    if record.answer_text is None:
        return last
    message = {
        "id": f"{record.key}-answer",
        "role": "assistant",
        "source": "generate",
        "model": record.answer_model or "unknown",
        "content": record.answer_text,
    }
    return {
        "model": record.answer_model or "unknown",
        "choices": [{"message": message, "stop_reason": "stop"}],
        "completion": record.answer_text,
    }


def _score(record: TaskRecord) -> dict[str, Any] | None:
    """C or I as inspect_ai's own scorers give; none for a task that has no verdict: unknown is not incorrect."""
    if record.correct is None:
        return None
    last: Judgement | None = record.judgements[-1] if record.judgements else None
    score: dict[str, Any] = {"value": "C" if record.correct else "I", "answer": record.answer or ""}
    if last is not None:
        score["explanation"] = last.reasoning or f"{last.method}"
        kept = ("protocol", "provider", "model", "method", "confidence", "confidence_stated")
        score["metadata"] = {name: getattr(last, name) for name in kept if getattr(last, name) is not None}
    return score


def _metadata(record: TaskRecord) -> dict[str, Any]:
    names = (
        "eid", "category", "subject", "answer_type", "has_image", "ending", "status", "rounds", "invalid_turns",
        "attempts", "segment", "confidence", "cost_usd", "n_unpriced", "answer_alias", "answer_model",
    )  # fmt: skip
    found = {name: getattr(record, name) for name in names if getattr(record, name) is not None}
    if len(record.judgements) > 1:
        found["judgements"] = [
            {"model": j.model, "correct": j.correct, "protocol": j.protocol} for j in record.judgements
        ]
    return found


def _usage(turn: Turn) -> dict[str, Any] | None:
    """None where the server told no counts. inspect_ai counts cached tokens apart from the input."""
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


def _usage_of(turns: Sequence[Turn], model: str) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for turn in turns:
        add_usage(total, _usage(turn) or {})
    return {model: total} if total else {}


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
