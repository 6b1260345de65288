import datetime
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from podium_eval.commands.data import main
from podium_eval.dataset.load import load_questions, scan
from podium_eval.dataset.selection import DatasetError
from podium_eval.dataset.subset import write_subset
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


def test_parquet_to_jsonl_keeps_image_and_canary(parquet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "part.jsonl"
    assert data("subset", parquet, "-n", 3, "-o", out) == 0
    assert "bytes written as base64: image_preview" in capsys.readouterr().out
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


def questions(*more: dict[str, object]) -> list[dict[str, object]]:
    return [{"id": f"q{i}", "question": "What?", "answer": "That", **fields} for i, fields in enumerate(more)]


def written(path: Path) -> list[dict[str, object]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"bare {name}")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_parquet_to_jsonl_loses_no_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, out = tmp_path / "s.parquet", tmp_path / "o.jsonl"
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    rows = questions(
        {"image": "", "at": at, "blob": b"\xff", "tags": ["a"], "price": Decimal("1.20"), "score": float("nan")},
        {"image": "", "at": None, "blob": None, "tags": None, "price": None, "score": float("inf")},
    )
    table = pa.Table.from_pylist(rows)
    nanoseconds = pa.array([1, None], pa.timestamp("ns"))
    too_late = pa.array([9_000_000_000_000_000, None], pa.timestamp("ms"))
    deep = pa.array([{"when": [at], "raw": b"x"}, None])
    table = table.append_column("ns", nanoseconds).append_column("late", too_late).append_column("deep", deep)
    pq.write_table(table, source)
    assert data("subset", source, "--shuffle", 1, "-o", out) == 0
    said = capsys.readouterr().out
    assert "bytes written as base64: blob, deep" in said
    assert "NaN and infinity written as null, since JSON has neither: score" in said
    first, second = sorted(written(out), key=lambda row: str(row["id"]))
    assert list(first) == list(second) == table.column_names
    assert (first["image"], first["blob"], first["tags"]) == ("", "/w==", ["a"])
    assert (first["price"], first["score"], second["score"]) == ("1.20", None, None)
    assert first["at"] == "2026-01-02 03:04:05.000000Z"
    assert first["ns"] == "1970-01-01 00:00:00.000000001"
    assert first["deep"] == {"when": ["2026-01-02 03:04:05+00:00"], "raw": "eA=="}
    assert load_questions(out).n == 2


def test_images_survive_parquet_to_jsonl_in_each_form(tmp_path: Path):
    png = b"\x89PNG\r\n\x1a\nx"
    for number, image in enumerate((png, [png], {"bytes": png, "path": None}, [{"bytes": png, "path": "p"}], "")):
        source, out = tmp_path / f"{number}.parquet", tmp_path / f"{number}.jsonl"
        pq.write_table(pa.Table.from_pylist(questions({"image": image})), source)
        assert data("subset", source, "-o", out) == 0
        assert load_questions(out).questions == load_questions(source).questions
    assert written(tmp_path / "4.jsonl")[0]["image"] == ""


def shards(tmp_path: Path, *tables: pa.Table) -> list[Path]:
    paths = [tmp_path / f"test-{i}.parquet" for i in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    return paths


def test_shards_of_different_columns_are_put_together(tmp_path: Path):
    one = pa.Table.from_pylist([{"id": "a", "question": "Q", "answer": "A", "n": 1}])
    two = pa.Table.from_pylist([{"id": "b", "question": "Q", "answer": "A", "n": 0.5, "note": "x"}])
    paths = shards(tmp_path, one, two)
    scanned = scan(paths)
    write_subset(scanned, paths, [1, 0], tmp_path / "o.parquet")
    assert pq.read_table(tmp_path / "o.parquet").to_pylist() == [
        {"id": "b", "question": "Q", "answer": "A", "n": 0.5, "note": "x"},
        {"id": "a", "question": "Q", "answer": "A", "n": 1.0, "note": None},
    ]
    write_subset(scanned, paths, [0, 1], tmp_path / "o.jsonl")
    assert [row["note"] for row in written(tmp_path / "o.jsonl")] == [None, "x"]


def test_shards_of_texts_and_of_a_dictionary_are_put_together(tmp_path: Path):
    one = pa.Table.from_pylist(questions({"kind": "x"}))
    two = pa.Table.from_pylist([{**questions({"kind": "y"})[0], "id": "other"}])
    two = two.set_column(3, "kind", two["kind"].dictionary_encode())
    paths = shards(tmp_path, one, two)
    write_subset(scan(paths), paths, [0, 1], tmp_path / "o.parquet")
    assert pq.read_table(tmp_path / "o.parquet")["kind"].to_pylist() == ["x", "y"]


def test_shards_whose_types_do_not_go_together_are_named(tmp_path: Path):
    one = pa.Table.from_pylist([{"id": "a", "question": "Q", "answer": "A", "n": "text"}])
    two = pa.Table.from_pylist([{"id": "b", "question": "Q", "answer": "A", "n": 1}])
    paths = shards(tmp_path, one, two)
    with pytest.raises(DatasetError, match=r"test-0\.parquet, .*test-1\.parquet: .*\bn\b") as error:
        write_subset(scan(paths), paths, [0, 1], tmp_path / "o.parquet")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*o.parquet*"))


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_output_equal_to_input_is_refused(tmp_path: Path, force: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    path, link = tmp_path / "d.jsonl", tmp_path / "link.jsonl"
    path.write_bytes(FIELDS.read_bytes())
    link.symlink_to(path)
    for output in (path, link, tmp_path / "x" / ".." / "d.jsonl"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert data("subset", path, "-n", 1, "-o", output, *force) == 2
        assert "is the dataset itself; name another file" in capsys.readouterr().err
    assert path.read_bytes() == FIELDS.read_bytes()


def test_a_json_array_becomes_one_row_a_line(tmp_path: Path):
    path, out = tmp_path / "d.json", tmp_path / "o.jsonl"
    rows = questions({"n": 1}, {"n": 2})
    path.write_text(json.dumps(rows, indent=2))
    assert data("subset", path, "-o", out) == 0
    assert written(out) == rows


def test_half_a_character_does_not_break_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "a", "question": "Q", "answer": "A", "category": "\\ud800", "canary": "\\udfff"}\n')
    assert data("describe", path) == 0
    assert "  \\ud800: 1" in capsys.readouterr().out
    assert data("describe", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["category"] == {"\ud800": 1}
    assert data("subset", path, "-o", tmp_path / "o.jsonl") == 0
    assert data("describe", path, "--category", "x") == 2


def test_check_names_images_that_models_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.Table.from_pylist(questions({"image": b"BM1"}, {"image": b"\x89PNG"}, {"image": None})), path)
    assert data("check", path) == 0
    out = capsys.readouterr().out
    assert f"{path} row 1: warning: 'image' is image/bmp, which models do not take; convert it to PNG or JPEG" in out
    assert "3 rows, 3 good, 0 problem(s)" in out
    assert "1 question(s) with an image that a model is likely to refuse" in out
