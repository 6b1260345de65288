"""run.json: what a run may not change, however the file came to be what it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from podium_eval.log.redact import Redactor
from podium_eval.run.manifest import OtherRun, changed_prompts, next_segment, open_manifest

FIELDS: dict[str, Any] = {
    "run_id": "r",
    "protocol": "hle",
    "dataset": {"sha256": "a" * 64},
    "epochs": 1,
    "orchestrator": {"model": "m"},
    "prompts": {},
}
START = {
    "type": "run_start", "run_id": "r", "protocol": "hle", "concurrency": 1, "max_rounds": 50, "n_tasks": 2,
    "n_finished": 0, "dataset_sha256": "a" * 64, "orchestrator_model": "m", "schema_version": 1,
}  # fmt: skip


def opened(path: Path, **changes: Any) -> int:
    return open_manifest(path, FIELDS | changes, ts="t", redactor=Redactor()).segment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def test_each_start_adds_a_segment(path: Path) -> None:
    assert [next_segment(path), opened(path), next_segment(path), opened(path)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"sha256": "b" * 64}},
        {"protocol": "toolorchestra"},
        {"epochs": 2},
        {"orchestrator": {"model": "other"}},
    ],
)
def test_a_run_of_something_else_is_refused(change: dict[str, Any], path: Path) -> None:
    opened(path)
    with pytest.raises(OtherRun, match="another value"):
        opened(path, **change)


@pytest.mark.parametrize("field", ["dataset", "protocol", "segments", "orchestrator", "schema_version"])
def test_a_run_json_that_lacks_a_field_is_refused(field: str, path: Path) -> None:
    opened(path)
    fields = json.loads(path.read_bytes())
    del fields[field]
    path.write_text(json.dumps(fields))
    with pytest.raises(OtherRun, match=field):
        opened(path)


@pytest.mark.parametrize("text", ["[]", "null", "5", "", '{"dataset": 5}', "[" * 100_000, "\xff"])
def test_what_is_no_run_json_is_refused(text: str, path: Path) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OtherRun, match=r"is no run\.json"):
        opened(path)


def test_a_lost_run_json_is_remade_from_the_log(path: Path) -> None:
    events = path.parent / "events.jsonl"
    events.write_text("".join(json.dumps(START, separators=(",", ":")) + "\n" for _ in range(2)) + "torn {")
    assert next_segment(path) == 3
    with pytest.raises(OtherRun, match="the dataset"):
        opened(path, dataset={"sha256": "b" * 64})
    with pytest.raises(OtherRun, match="PROTOCOL"):
        opened(path, protocol="toolorchestra")
    assert opened(path) == 3


def test_an_end_is_noted_in_its_own_segment(path: Path) -> None:
    opened(path)
    manifest = open_manifest(path, FIELDS, ts="t2", redactor=Redactor())
    manifest.end("t3", "budget")
    first, second = json.loads(path.read_bytes())["segments"]
    assert (first["ended_ts"], first["reason"]) == (None, None), "a killed segment has no end"
    assert (second["started_ts"], second["ended_ts"], second["reason"]) == ("t2", "t3", "budget")


def test_a_resume_keeps_when_the_run_was_created(path: Path) -> None:
    opened(path)
    open_manifest(path, FIELDS, ts="later", redactor=Redactor())
    assert json.loads(path.read_bytes())["created_ts"] == "t"


def test_a_newer_run_json_is_refused(path: Path) -> None:
    opened(path)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema_version": 1_000}))
    with pytest.raises(OtherRun, match=r"run\.json"):
        opened(path)


def test_secrets_are_not_in_run_json(path: Path) -> None:
    open_manifest(
        path, FIELDS | {"settings": {"url": "sk-secret-value"}}, ts="t", redactor=Redactor(["sk-secret-value"])
    )
    assert b"sk-secret" not in path.read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({"a.md": "1", "b.md": "2"}, {"a.md": "1", "b.md": "3"}, ["b.md"]),
        ({"a.md": "1"}, {}, ["a.md"]),
        ({}, {"a.md": "1"}, ["a.md"]),
        ({"a.md": "1"}, {"a.md": "1"}, []),
    ],
)
def test_changed_prompts_are_named(old: dict[str, str], new: dict[str, str], changed: list[str]) -> None:
    assert changed_prompts(old, new) == changed
