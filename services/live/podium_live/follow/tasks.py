"""A run's tasks: rows of its list, and one task's trajectory, whole or as far as it is."""

from typing import Any, Final, cast

import orjson
from podium_analysis.load.records import parsed
from podium_analysis.report.trajectories import COLUMNS
from podium_analysis.scoring.scores import outcome_of
from podium_contracts.records import task_key

from podium_live.files import NotThere, is_plain, read_below
from podium_live.follow.follower import Follower

ROW_TEXT: Final = 300
"""Characters of a question or an answer in the list."""
ROW_BYTES: Final = 2_000_000
"""A record beyond is not read for the list: its row has no question."""


def row(follower: Follower, place: int) -> list[Any]:
    """The list's row of the task that ended as number `place`, in the order of COLUMNS."""
    task_id, epoch = follower.order[place]
    end = follower.totals.ended[task_id, epoch]
    key = task_key(task_id, epoch)
    try:
        record = _object(read_below(follower.root, follower.run_id, "tasks", f"{key}.json", most=ROW_BYTES))
    except (NotThere, ValueError):
        record = {}
    turns = cast("list[Any]", record.get("turns") or [])
    known: dict[str, Any] = {
        **end,
        "key": key,
        "task_id": task_id,
        "epoch": epoch,
        "outcome": outcome_of(str(end.get("status")), str(end.get("ending")), end.get("correct")),
        "tools": [_tool(turn) for turn in turns],
        **{name: _short(record.get(name)) for name in ("question", "answer", "gold_answer")},
        "chunk": place,
        "at": 0,
    }
    return [known.get(name) for name in COLUMNS]


def trajectory(follower: Follower, key: str, *, most_bytes: int) -> dict[str, Any]:
    """What the run's folder has of a task: its record, or the turns that are finished.

    in_flight: its turn, what that does and for how long; None for one that ended.

    Raises:
        NotThere: the run has no such task, or its record cannot be read.
    """
    if not is_plain(key):
        raise NotThere(key)
    flying = next(((task, state) for task, state in follower.totals.in_flight.items() if task_key(*task) == key), None)
    if flying is None:
        try:
            record = _object(read_below(follower.root, follower.run_id, "tasks", f"{key}.json", most=most_bytes))
        except ValueError as error:
            raise NotThere(f"tasks/{key}.json: {error}") from error
        return {**record, "in_flight": None}
    (task_id, epoch), state = flying
    lines = _checkpoint(follower, key, most_bytes)
    last = lines[-1] if lines else {}
    return {
        "key": key,
        "task_id": task_id,
        "epoch": epoch,
        "duration_ms": last.get("active_ms"),
        "cost_usd": last.get("cost_usd"),
        "turns": [line["turn"] for line in lines],
        "in_flight": {
            "step": state.step,
            "doing": state.doing,
            "age_ms": max(0.0, follower.totals.now_ms() - state.since_ms),
        },
    }


def fingerprint(follower: Follower, key: str) -> tuple[Any, ...]:
    """Differs when trajectory() would give something else, ages apart."""
    marks: list[Any] = [
        (state.step, state.doing) for task, state in follower.totals.in_flight.items() if task_key(*task) == key
    ]
    for folder, name in (("tasks", f"{key}.json"), ("checkpoints", f"{key}.jsonl")):
        try:
            state = (follower.root / follower.run_id / folder / name).lstat()
            marks.append((state.st_mtime_ns, state.st_size))
        except OSError:
            marks.append(None)
    return tuple(marks)


def cut(record: dict[str, Any], limit: int) -> dict[str, int]:
    """Cut the record's long texts, in place; where they are, and how many characters each has."""
    found: dict[str, int] = {}

    def walk(value: Any, place: str) -> None:
        names: list[Any] = list(cast("dict[str, Any]", value)) if isinstance(value, dict) else list(range(len(value)))
        for name in names:
            inner: Any = cast("Any", value)[name]
            here = f"{place}.{name}" if place else str(name)
            if isinstance(inner, str):
                if len(inner) > limit:
                    found[here] = len(inner)
                    value[name] = f"{inner[:limit]}… [{len(inner) - limit:,} more characters]"
            elif isinstance(inner, dict | list):
                walk(inner, here)

    walk(record, "")
    return found


def text_at(record: dict[str, Any], place: str) -> str:
    """The whole text at a place that `cut` named.

    Raises:
        NotThere: there is no text.
    """
    value: Any = record
    for name in place.split("."):
        if isinstance(value, list):
            items = cast("list[Any]", value)
            value = items[int(name)] if name.isascii() and name.isdigit() and int(name) < len(items) else None
        else:
            value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise NotThere(f"no text at {place}")
    return value


def _checkpoint(follower: Follower, key: str, most_bytes: int) -> list[dict[str, Any]]:
    try:
        raw = read_below(follower.root, follower.run_id, "checkpoints", f"{key}.jsonl", most=most_bytes)
    except NotThere:
        return []
    lines: list[dict[str, Any]] = []
    for line in raw.splitlines():
        try:
            value: Any = orjson.loads(line)
        except orjson.JSONDecodeError:
            break
        if isinstance(value, dict) and isinstance(cast("dict[str, Any]", value).get("turn"), dict):
            lines.append(cast("dict[str, Any]", value))
    return lines


def _object(raw: bytes) -> dict[str, Any]:
    value = parsed(raw)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return cast("dict[str, Any]", value)


def _short(text: object) -> str | None:
    return text[:ROW_TEXT] if isinstance(text, str) else None


def _tool(turn: Any) -> str:
    return str(turn.get("tool") or "none") if isinstance(turn, dict) else "none"  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
