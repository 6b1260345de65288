"""Index rows and chunks of trajectories: complete, bounded, and unable to leave their script."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_analysis.load.records import read_records
from podium_analysis.load.run_data import load_run
from podium_analysis.report.trajectories import (
    COLUMNS,
    FIELD_TEXT,
    INDEX_TEXT,
    Trajectories,
    script_safe,
    write_trajectories,
)

MakeRun = Callable[..., Path]


def collect(run: Path, folder: Path, **options: Any) -> Trajectories:
    with load_run(run) as data:
        return write_trajectories(data, folder, **options)


def parse_chunk(path: Path) -> tuple[int, list[dict[str, Any]]]:
    text = path.read_text()
    number, quoted = text.removeprefix("podiumChunk(").removesuffix(");\n").split(",", 1)
    return int(number), json.loads(json.loads(quoted))


def row(found: Trajectories, at: int) -> dict[str, Any]:
    return dict(zip(COLUMNS, found.rows[at], strict=True))


def test_every_task_is_found_where_its_row_says(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(n=40, epochs=2)
    found = collect(run, tmp_path / "t", inline_bytes=60_000, chunk_bytes=20_000)
    chunks = {n: json.loads(body) for n, body in found.inline.items()}
    assert chunks, "some are inside"
    assert found.files, "some are beside"
    chunks |= dict(parse_chunk(path) for path in found.files)
    assert len(found.rows) == 80
    assert [(r["eid"], r["epoch"]) for r in (row(found, n) for n in range(80))] == [
        (eid, epoch) for eid in range(40) for epoch in (1, 2)
    ]
    for n in range(80):
        one = row(found, n)
        record = chunks[one["chunk"]][one["at"]]
        assert (record["key"], record["task_id"], record["epoch"]) == (one["key"], one["task_id"], one["epoch"])
        assert one["tools"] == [turn["tool"] for turn in record["turns"]]


def test_what_is_inside_the_page_stays_within_its_budget(make_run: MakeRun, tmp_path: Path) -> None:
    found = collect(make_run(n=40), tmp_path / "t", inline_bytes=50_000, chunk_bytes=10_000)
    assert 0 < sum(len(body) for body in found.inline.values()) <= 50_000
    assert not collect(make_run("small", n=3), tmp_path / "s", inline_bytes=1_000_000).files
    assert not (tmp_path / "s").exists()


def test_chunks_of_an_earlier_report_are_gone(make_run: MakeRun, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "0099.js").write_text("old")
    (folder / "notes.txt").write_text("mine")
    collect(make_run(n=3), folder, inline_bytes=0)
    assert sorted(path.name for path in folder.iterdir()) == ["0000.js", "notes.txt"]


def test_long_texts_are_cut_and_say_by_how_much(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(n=1)
    path = next(iter((run / "tasks").glob("*.json")))
    record = json.loads(path.read_text()) | {"question": "x" * 50_000}
    path.write_text(json.dumps(record))
    found = collect(run, tmp_path / "t", inline_bytes=1_000_000)
    (whole,) = json.loads(found.inline[0])
    assert whole["question"] == "x" * FIELD_TEXT + "… [30,000 more characters]"
    assert row(found, 0)["question"].startswith("x" * INDEX_TEXT + "…")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"text"', "null", '{"record_version": 99}', '{"record_version": 1}']
)
def test_an_unreadable_record_is_named_and_others_stay(make_run: MakeRun, tmp_path: Path, content: str) -> None:
    run = make_run(n=3)
    broken = next(iter(sorted((run / "tasks").glob("*.json"))))
    broken.write_text(content)
    found = collect(run, tmp_path / "t", inline_bytes=1_000_000)
    assert [bad.file for bad in found.bad] == [broken.name]
    assert len(found.rows) == 3, "the log still knows the task"
    assert [row(found, n)["chunk"] for n in range(3)].count(None) == 1
    with pytest.raises(ValueError, match=broken.name):
        list(read_records(run))


def test_lone_surrogates_and_nan_are_repaired_not_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(n=1)
    path = next(iter((run / "tasks").glob("*.json")))
    record = json.loads(path.read_text()) | {"question": "half \ud800 pair", "confidence": float("nan")}
    path.write_text(json.dumps(record))
    found = collect(run, tmp_path / "t", inline_bytes=1_000_000)
    assert found.bad == []
    (whole,) = json.loads(found.inline[0])
    assert whole["question"] == "half \\ud800 pair"


@given(st.recursive(st.text() | st.integers(-5, 5), lambda inner: st.dictionaries(st.text(), inner, max_size=3)))
def test_json_in_a_script_holds_no_markup(value: Any) -> None:
    text = orjson.dumps(value)
    safe = script_safe(text)
    assert orjson.loads(safe) == value
    assert not any(mark in safe for mark in (b"<", b">", b"&", "\u2028".encode(), "\u2029".encode()))
