import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from podium_eval.commands.data import main
from podium_eval.dataset.load import load_questions
from podium_eval.settings.run import HubSettings

FIELDS = Path(__file__).parents[2] / "podium_eval" / "data" / "fields" / "questions.jsonl"


def data(*argv: object, dataset: Path | None = FIELDS) -> int:
    return main([str(a) for a in argv], dataset=None if dataset is None else str(dataset), hub=HubSettings())


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    rows = [json.loads(line) for line in FIELDS.read_text().splitlines()]
    for row in rows:
        row["image"] = {"bytes": b"\x89PNG\r\n\x1a\nx", "path": "p"} if row["image"] else None
        row["image_preview"] = {"bytes": b"x", "path": "p"}
    path = tmp_path / "source.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_check_of_good_data_is_0(capsys: pytest.CaptureFixture[str]):
    assert data("check") == 0
    out = capsys.readouterr().out
    assert "20 rows, 20 good, 0 problem(s)" in out
    assert "canary in 20 rows" in out


def test_check_prints_every_problem_and_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "bad.jsonl"
    path.write_text(FIELDS.read_text() + FIELDS.read_text().splitlines()[2] + "\n{\n")
    assert data("check", path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}:21: id 'fields-03' is already that of {path}:3"
    assert lines[1].startswith(f"{path}:22: bad JSON")
    assert lines[2].endswith("22 rows, 20 good, 2 problem(s)")


def test_what_cannot_be_read_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert data("check", tmp_path / "none") == 2
    assert data("check", dataset=None) == 2
    assert "set DATASET" in capsys.readouterr().err


def test_describe_counts_the_selection(capsys: pytest.CaptureFixture[str]):
    assert data("describe", "--category", "Physics", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["n_in_file"], about["n"], about["n_with_image"]) == (20, 3, 0)
    assert about["answer_type"] == {"exactMatch": 2, "multipleChoice": 1}
    assert about["category"] == {"Physics": 3}
    assert data("describe") == 0
    assert "  multipleChoice: 4" in capsys.readouterr().out


def test_subset_keeps_rows_byte_for_byte_and_the_canary(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "part.jsonl"
    assert data("subset", "-n", 5, "--shuffle", 1, "-o", out) == 0
    said = capsys.readouterr().out
    source = FIELDS.read_bytes().splitlines()
    lines = out.read_bytes().splitlines()
    assert len(lines) == 5
    assert set(lines) <= set(source)
    assert lines != [line for line in source if line in lines], "the shuffle's order is kept"
    canary = load_questions(FIELDS).canary
    assert canary is not None
    assert load_questions(out).canary == canary
    assert canary in said


def test_subset_replaces_only_when_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "part.jsonl"
    out.write_text("mine")
    assert data("subset", "-n", 5, "-o", out) == 2
    assert out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert data("subset", "-n", 5, "-o", out, "--force") == 0
    assert load_questions(out).n == 5


def test_subset_of_parquet_keeps_all_columns(parquet: Path, tmp_path: Path):
    out = tmp_path / "part.parquet"
    assert data("subset", parquet, "--text-only", "-n", 3, "--shuffle", 7, "-o", out) == 0
    table = pq.read_table(out)
    assert table.schema == pq.read_table(parquet).schema
    assert table.num_rows == 3
    assert not list(tmp_path.glob(".*tmp"))


def test_parquet_to_jsonl_keeps_image_and_canary_and_says_what_it_drops(
    parquet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "part.jsonl"
    assert data("subset", parquet, "-n", 3, "-o", out) == 0
    assert "left out, since jsonl holds no bytes: image_preview" in capsys.readouterr().out
    assert load_questions(out).questions == load_questions(parquet).questions[:3]
    assert load_questions(out).canary == load_questions(parquet).canary


@pytest.mark.parametrize("name", ["part.parquet", "part.csv"])
def test_subset_refuses_a_format_it_cannot_write(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]):
    assert data("subset", "-n", 3, "-o", tmp_path / name) == 2
    assert "end it in .jsonl" in capsys.readouterr().err


def test_bad_data_has_no_subset(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n")
    assert data("subset", path, "-n", 1, "-o", tmp_path / "o.jsonl") == 2
    assert f"the first at {path}:1" in capsys.readouterr().err
