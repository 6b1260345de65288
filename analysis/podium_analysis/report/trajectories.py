"""Task records for the report: one index row a task, and its trajectory in a chunk that the page loads on demand.

Chunks are inlined until a budget is spent; the rest become `trajectories/NNNN.js` beside the page, because a page
opened from disk may load a script but may not fetch a file.
"""

from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

import orjson
from podium_contracts.records import RECORD_VERSION, Judgement, TaskRecord, Turn, record_from_json, task_key

from podium_analysis.load.records import BadRecord, parsed, record_files
from podium_analysis.load.run_data import RunData, TaskRow
from podium_analysis.scoring.scores import outcome_of

CHUNK_BYTES: Final = 512_000
INDEX_TEXT: Final = 1_200
"""Characters of a question, answer or error that the index carries for search; the trajectory has the rest."""
FIELD_TEXT: Final = 20_000
"""Characters of any one text in a trajectory; what was cut is counted on the page, tasks/<key>.json has it whole."""

COLUMNS: Final = (
    "key",
    "task_id",
    "epoch",
    "eid",
    "status",
    "ending",
    "outcome",
    "confidence",
    "rounds",
    "duration_ms",
    "cost_usd",
    "n_unpriced",
    "category",
    "tools",
    "error_type",
    "question",
    "answer",
    "gold_answer",
    "chunk",
    "at",
)


@dataclass(slots=True)
class Trajectories:
    """What the page needs of the tasks.

    rows: one list a task in the order of COLUMNS, sorted by eid and epoch; `chunk` and `at` say where its trajectory
    is. inline: chunk number to JSON text. files: chunks written beside the page.
    """

    rows: list[list[Any]] = field(default_factory=list[list[Any]])
    inline: dict[int, bytes] = field(default_factory=dict[int, bytes])
    files: list[Path] = field(default_factory=list[Path])
    bad: list[BadRecord] = field(default_factory=list[BadRecord])


def write_trajectories(
    run: RunData, folder: Path, *, inline_bytes: int, chunk_bytes: int = CHUNK_BYTES
) -> Trajectories:
    """Read the run's tasks/, keep at most `inline_bytes` of trajectories, write the rest into `folder`.

    `folder` is emptied of earlier chunks first; it is made only when a chunk needs it. A task that the log knows and
    tasks/ does not gets a row without a trajectory.
    """
    for stale in folder.glob("[0-9]*.js"):
        stale.unlink()
    result = Trajectories()
    spent = 0
    pending: list[bytes] = []
    size = 0

    def flush() -> None:
        nonlocal spent, size
        if not pending:
            return
        number = len(result.inline) + len(result.files)
        body = b"[" + b",".join(pending) + b"]"
        if spent + len(body) <= inline_bytes and not result.files:
            result.inline[number] = body
            spent += len(body)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{number:04d}.js"
            # A string for JSON.parse and not an object literal: `__proto__` stays a plain key, and parsing is faster.
            # In a file of its own, JSON is a script's string as it is: there is no markup around it to end.
            path.write_bytes(b"podiumChunk(%d,%s);\n" % (number, orjson.dumps(body.decode())))
            result.files.append(path)
        pending.clear()
        size = 0

    seen: set[tuple[str, int]] = set()
    for path in record_files(run.folder):
        try:
            with path.open("rb") as file:
                record, encoded = _trajectory(file.read())
            row = _row(record, len(result.inline) + len(result.files), len(pending))
        except (ValueError, LookupError, AttributeError, TypeError, OSError) as error:
            result.bad.append(BadRecord(path.name, str(error)))
            continue
        seen.add((record["task_id"], record.get("epoch", 1)))
        result.rows.append(row)
        pending.append(encoded)
        size += len(encoded) + 1
        if size >= chunk_bytes:
            flush()
    flush()
    result.rows += [_bare_row(task) for task in run.tasks() if (task.task_id, task.epoch) not in seen]
    eid, epoch = COLUMNS.index("eid"), COLUMNS.index("epoch")
    result.rows.sort(key=lambda row: (row[eid] is None, row[eid] or 0, row[epoch]))
    return result


def script_safe(json_text: bytes) -> bytes:
    """JSON that cannot end or open a <script>, a comment or an entity: `<`, `>` and `&` occur only inside strings."""
    return (
        json_text.replace(b"<", b"\\u003c")
        .replace(b">", b"\\u003e")
        .replace(b"&", b"\\u0026")
        .replace("\u2028".encode(), b"\\u2028")
        .replace("\u2029".encode(), b"\\u2029")
    )


def _row(record: dict[str, Any], chunk: int, at: int) -> list[Any]:
    status, ending = record["status"], record["ending"]
    cells: dict[str, Any] = {
        **{name: record.get(name) for name in COLUMNS},
        "epoch": record.get("epoch", 1),
        "outcome": outcome_of(status, ending, record.get("correct")),
        "n_unpriced": record.get("n_unpriced", 0),
        "tools": [turn.get("tool") or "none" for turn in record.get("turns", ())],
        **{name: _cut(record.get(name), INDEX_TEXT) for name in ("question", "answer", "gold_answer")},
        "chunk": chunk,
        "at": at,
    }
    return [cells[name] for name in COLUMNS]


def _bare_row(task: TaskRow) -> list[Any]:
    known: dict[str, Any] = {
        "key": task_key(task.task_id, task.epoch),
        "outcome": outcome_of(task.status, task.ending, task.correct),
        "tools": [],
        **{name: getattr(task, name) for name in COLUMNS if name in TaskRow.__dataclass_fields__},
    }
    return [known.get(name) for name in COLUMNS]


_KNOWN: Final = {kind: frozenset(one.name for one in fields(kind)) for kind in (TaskRecord, Turn, Judgement)}
_NEEDED: Final = {
    kind: frozenset(one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING)
    for kind in (TaskRecord, Turn, Judgement)
}


def _trajectory(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """A record, and its JSON for the page, where texts beyond FIELD_TEXT are cut with a count of what is gone.

    Plain dicts all the way: making the record's own types first took most of a large report's time. Nulls stay: the
    page drops them from the one record that it shows.

    Raises:
        ValueError: it is no record, a newer one, or lacks a field, with record_from_json's message.
    """
    record: Any = parsed(raw)
    version = record.get("record_version")
    shapes = {(Turn, *turn) for turn in record.get("turns", ())}
    shapes |= {(Judgement, *judgement) for judgement in record.get("judgements", ())}
    whole = type(version) is int and version <= RECORD_VERSION and _is_plain(TaskRecord, *record)
    if not whole or not all(_is_plain(*shape) for shape in shapes):
        record = record_from_json(record).to_json()
    encoded = _dumps(record)
    if _may_be_long(encoded):
        _cut_texts(record)
        encoded = _dumps(record)
    return record, encoded


@lru_cache(maxsize=1000)
def _is_plain(kind: type[Any], *names: str) -> bool:
    """Whether an object with fields of these names has all that its kind must have, and no other than its kind's."""
    return _NEEDED[kind] <= set(names) <= _KNOWN[kind]


def _may_be_long(raw: bytes) -> bool:
    """Whether orjson's JSON may hold a text of more than FIELD_TEXT characters: in so many bytes no name ends and no
    text begins. `":"` cannot stand inside a text, whose own quotation marks all come after a backslash.
    """
    place = 0
    while len(raw) - place > FIELD_TEXT:
        place = raw.rfind(b'":"', place + 1, place + FIELD_TEXT)
        if place < 0:
            return True
    return False


def _cut_texts(value: Any) -> None:
    """Cut every text in an object or list to FIELD_TEXT, in place."""
    for at in list(cast(Any, value)) if isinstance(value, dict) else range(len(value)):
        one: Any = cast(Any, value)[at]
        if isinstance(one, str):
            if len(one) > FIELD_TEXT:
                value[at] = _cut(one, FIELD_TEXT)
        elif isinstance(one, dict | list):
            _cut_texts(one)


def _cut(text: str | None, limit: int) -> str | None:
    if text is None or len(text) <= limit:
        return text
    return f"{text[:limit]}… [{len(text) - limit:,} more characters]"


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
