import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_contracts.files import write_atomically
from podium_contracts.records import TaskRecord, Turn, task_key
from podium_eval.episode.task import Progress
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogWriter
from podium_eval.run.checkpoint import Checkpoints
from podium_eval.run.folder import RunFolder, RunLocked


def record(id_: str = "a", **changes: object) -> TaskRecord:
    fields: dict[str, object] = {
        "run_id": "r",
        "key": task_key(id_),
        "task_id": id_,
        "eid": 0,
        "question": "q",
        "gold_answer": "g",
        "status": "done",
        "ending": "answered",
        "correct": True,
        "rounds": 1,
        "started_ts": "",
        "finished_ts": "",
        "duration_ms": 1.0,
    }
    return TaskRecord(**{**fields, **changes})  # type: ignore[arg-type]


def opened(path: Path, redactor: Redactor | None = None) -> RunFolder:
    folder = RunFolder(path, redactor)
    folder.acquire()
    return folder


async def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = opened(tmp_path / "r")
    turns = [Turn(step=1, tool="search", status="ok", documents=[{"id": "d", "contents": "é\u2028"}])]
    saved = record("x/../y", turns=turns)
    await folder.save(saved)
    assert folder.read_record(saved.key) == saved
    assert [(one.task_id, one.status, one.correct) for one in folder.saved()] == [("x/../y", "done", True)]
    folder.release()


@settings(deadline=None)
@given(st.text(min_size=1))
def test_any_id_is_a_plain_file_name(id_: str) -> None:
    key = task_key(id_)
    assert len(key.encode()) <= 80
    assert "/" not in key
    assert not key.startswith((".", "-"))


async def test_a_second_owner_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    folder = opened(tmp_path / "r")
    with pytest.raises(RunLocked, match=rf"pid {os.getpid()} on "):
        opened(tmp_path / "r")
    folder.release()
    opened(tmp_path / "r").release()


async def test_a_file_that_is_no_record_is_set_aside(tmp_path: Path) -> None:
    folder = opened(tmp_path / "r")
    await folder.save(record("good"))
    (folder.tasks / "bad.json").write_text('{"record_version": 1, "key": ')
    assert [one.task_id for one in folder.saved()] == ["good"]
    assert (folder.tasks / "bad.corrupt").exists()
    folder.release()


async def test_half_written_files_of_a_crash_are_cleared_away(tmp_path: Path) -> None:
    folder = opened(tmp_path / "r")
    (folder.tasks / ".x.json.tmp").write_text("{")
    folder.release()
    opened(tmp_path / "r").release()
    assert list((tmp_path / "r" / "tasks").iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


async def test_secrets_are_not_in_records(tmp_path: Path) -> None:
    folder = opened(tmp_path / "r", Redactor(["sk-secret-value"]))
    await folder.save(record("a", answer_text="my key is sk-secret-value."))
    assert folder.read_record(task_key("a")).answer_text == "my key is [redacted]."
    folder.release()


async def test_checkpoints_grow_by_turns_and_forget_a_torn_one(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    writer = LogWriter(tmp_path / "e", tmp_path / "l", redactor=Redactor(), on_failure=[].append)
    writer.start()
    checkpoints = Checkpoints(folder, writer, Redactor(["sk-secret-value"]))
    progress = Progress(started_ts="then", attempts=2)
    for step in (1, 2, 3):
        progress.active_ms, progress.cost_usd = step * 10.0, step * 0.5
        checkpoints.append(
            "k", Turn(step=step, tool="search", status="ok", query=f"sk-secret-value \ud800 {step}"), progress
        )
    await writer.flush_to_disk()
    path = folder / "k.jsonl"
    whole = path.read_bytes()
    loaded = checkpoints.load("k")
    assert loaded is not None
    assert [turn.step for turn in loaded.turns] == [1, 2, 3]
    assert (loaded.active_ms, loaded.cost_usd, loaded.started_ts, loaded.attempts) == (30.0, 1.5, "then", 2)
    assert "sk-secret" not in (loaded.turns[0].query or "")
    for cut in range(1, len(whole.splitlines()[-1])):
        path.write_bytes(whole[: -1 - cut])
        torn = checkpoints.load("k")
        assert torn is not None
        assert [turn.step for turn in torn.turns] == [1, 2]
        assert json.loads(path.read_bytes().splitlines()[-1])["turn"]["step"] == 2
    for bad in (
        b"7",
        b"{}",
        b'{"version":1,"turn":7}',
        b'{"version":2}',
        b"\x00\xff",
        b'{"version":1,"turn":{"stop":1}}',
    ):
        first = whole.splitlines(keepends=True)[0]
        path.write_bytes(first + bad + b"\n" + whole)
        kept = checkpoints.load("k")
        assert kept is not None
        assert [turn.step for turn in kept.turns] == [1]
        assert path.read_bytes() == first, "what is appended next would stand behind a line that nobody reads"
    checkpoints.remove("k")
    await writer.flush_to_disk()
    assert checkpoints.load("k") is None
    writer.close()
