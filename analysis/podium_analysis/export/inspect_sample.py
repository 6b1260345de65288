"""A task record as a sample of inspect_ai's log: its messages, its transcript of events, its score."""

from collections.abc import Mapping
from typing import Any, Final

from podium_contracts.records import Judgement, TaskRecord

from podium_analysis.export.inspect_turn import Clock, model_event, tool_event, usage_of

SCORER: Final = "podium"
_LIMITS: Final[Mapping[str, str]] = {"round_limit": "turn", "context_limit": "context", "time_limit": "time"}


def sample(record: TaskRecord, *, orchestrator: str, max_rounds: float | None) -> dict[str, Any]:
    """An EvalSample. Times in seconds, of the record's own durations; the transcript lays turns one after another."""
    clock = Clock(record.started_ts)
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
        call, asked = model_event(turn, span, orchestrator, messages, clock)
        events.append(asked)
        messages.append(call)
        output = asked["output"]
        answer, used = tool_event(turn, span, clock)
        events.append(used)
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
        "model_usage": usage_of(record.turns, orchestrator),
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


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
