"""Task records and checkpoints survive the disk, and what is none is refused by name."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_contracts.records import Judgement, TaskRecord, Turn, task_key
from podium_eval.run.checkpoint import read_checkpoint
from podium_eval.run.folder import RunFolder, read_record


def record() -> TaskRecord:
    return TaskRecord(
        run_id="r", key=task_key("q"), task_id="q", eid=0, question="?", gold_answer="4", status="done",
        ending="answered", correct=None, rounds=1, started_ts="s", finished_ts="f", duration_ms=1.5,
        turns=[Turn(step=1, tool="answer", status="ok")],
        judgements=[Judgement(protocol="hle", method="model", correct=None, ts="t", error_type="judge_error")],
    )  # fmt: skip


def written(**changes: object) -> bytes:
    return json.dumps(record().to_json() | changes).encode()


def test_a_record_is_the_same_after_the_disk() -> None:
    assert read_record(written()) == record()


def test_a_newer_minor_versions_field_is_dropped() -> None:
    assert read_record(written(mood="fine")) == record()
    with pytest.raises(ValueError, match="record version 9"):
        read_record(written(record_version=9, status={"new": "form"}))


BROKEN = {
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "nothing": b"",
    "half": written()[:200],
    "no UTF-8": b'{"record_version": 1, "run_id": "\xff"}',
    "deep": b"[" * 100_000,
    "a turn that is a number": written(turns=[5]),
    "a text for a number": written(duration_ms="soon"),
    "an unknown status": written(status="fine"),
    "an unknown ending": written(ending="somehow"),
    "a missing field": json.dumps({k: v for k, v in record().to_json().items() if k != "status"}).encode(),
    "a number of many digits": written(eid=0).replace(b'"eid": 0', b'"eid": ' + b"9" * 5000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_record_is_set_aside(name: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.acquire()
    folder.write_record(record())
    path = folder.tasks / "x.json"
    path.write_bytes(BROKEN[name])
    assert [one.task_id for one in folder.saved()] == ["q"]
    assert path.with_suffix(".corrupt").read_bytes() == BROKEN[name]
    with pytest.raises(ValueError, match=r".+"):
        read_record(BROKEN[name])
    folder.release()


def test_the_field_that_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="duration_ms"):
        read_record(written(duration_ms="soon"))


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_no_record_and_no_checkpoint(raw: bytes) -> None:
    for read in (read_record, read_checkpoint):
        with pytest.raises(ValueError, match=r".+"):
            read(raw)
