"""Task records survive the disk, and no id escapes its folder or meets another."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_contracts.records import Judgement, TaskRecord, Turn, record_from_json, task_key

SAFE = set(string.ascii_lowercase + string.digits + ".-")


@given(st.text(max_size=300), st.integers(1, 99))
def test_any_id_becomes_a_plain_short_file_name(task_id: str, epoch: int):
    key = task_key(task_id, epoch)
    assert set(key) <= SAFE
    assert 0 < len(key) <= 61
    assert not key.startswith(".")
    assert ".." not in key


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_ids_have_different_names(a: str, b: str):
    assert (task_key(a) == task_key(b)) == (a == b)


def test_ids_that_differ_only_in_case_or_epoch_stay_apart():
    assert len({task_key("Ab"), task_key("aB"), task_key("Ab", 2), task_key("../../etc/passwd")}) == 4


def record() -> TaskRecord:
    return TaskRecord(
        run_id="r", key=task_key("q"), task_id="q", eid=0, question="?", gold_answer="4", status="done",
        ending="answered", correct=None, rounds=1, started_ts="s", finished_ts="f", duration_ms=1.5,
        turns=[Turn(step=1, tool="answer", status="ok")],
        judgements=[Judgement(protocol="hle", method="model", correct=None, ts="t", error_type="judge_error")],
    )  # fmt: skip


def test_a_record_is_the_same_after_the_disk():
    assert record_from_json(json.loads(json.dumps(record().to_json()))) == record()


def test_newer_fields_are_dropped_and_newer_versions_refused():
    raw = record().to_json() | {"mood": "fine"}
    assert record_from_json(raw) == record()
    with pytest.raises(ValueError, match="record version 9"):
        record_from_json(raw | {"record_version": 9})


def test_a_record_without_what_it_must_hold_names_itself():
    raw = record().to_json()
    del raw["status"]
    with pytest.raises(ValueError, match=raw["key"]):
        record_from_json(raw)
