"""The forms in which people have a dataset: each is read as the same questions, or refused in one line."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from podium_eval.commands.data import main
from podium_eval.dataset.image import fault_of, image_of
from podium_eval.dataset.load import load_questions, scan
from podium_eval.dataset.selection import DatasetError
from podium_eval.settings.run import HubSettings

FIELDS = Path(__file__).parents[2] / "podium_eval" / "data" / "fields" / "questions.jsonl"
ROW = {"id": "a", "question": "What?", "answer": "That"}
PNG = b"\x89PNG\r\n\x1a\nx"
PNG_URL = "data:image/png;base64,iVBORw0KGgp4"


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "dataset"
    path.write_bytes(content)
    return path


def array(indent: int | None) -> bytes:
    return json.dumps([json.loads(line) for line in FIELDS.read_text().splitlines()], indent=indent).encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(FIELDS.read_bytes()), id="gzip"),
        pytest.param(FIELDS.read_text().encode("utf-16"), id="UTF-16"),
        pytest.param(FIELDS.read_text().encode("utf-16-be"), id="UTF-16 without a mark"),
        pytest.param(gzip.compress(FIELDS.read_text().encode("utf-16")), id="UTF-16 in gzip"),
        pytest.param(b"\xef\xbb\xbf" + FIELDS.read_bytes(), id="a byte order mark"),
        pytest.param(array(None), id="an array"),
        pytest.param(b"\xef\xbb\xbf \r\n" + array(2), id="an indented array"),
        pytest.param(array(2).decode().encode("utf-16"), id="an array in UTF-16"),
        pytest.param(
            "\n".join(json.dumps(json.loads(line), indent=2) for line in FIELDS.read_text().splitlines()).encode(),
            id="objects over several lines",
        ),
    ],
)
def test_each_form_gives_the_same_questions(tmp_path: Path, content: bytes):
    assert load_questions(file(tmp_path, content)).questions == load_questions(FIELDS).questions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer.*git lfs pull"),
        (gzip.compress(FIELDS.read_bytes(), mtime=0)[:-30], "is gzip, but cut off or damaged.*fetch it again"),
        (gzip.compress(b"PAR1", mtime=0), "holds Parquet or another gzip in gzip; unpack it first"),
        (b"\xff\xfe{\x00\x00", "is UTF-16, but broken.*iconv"),
        ("{}".encode("utf-32"), "is UTF-32; write it as UTF-8"),
        (b"<!DOCTYPE html><html>", "is an HTML page, not a dataset"),
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"\x28\xb5\x2f\xfdrest", "is compressed by zstd"),
        (b"\x00\x01\x02\x03", "is a binary file"),
        (b'[\n{"id": "a"}\n{}]', r":3: begins as JSON over several lines, with bad JSON at column 1: a comma"),
        (b'[{"id": "a"},\n {"id": ]', r":2: .*at column 9: Expecting value"),
        (b"[{}] 1", r":1: .*at column 6: something follows the closing bracket"),
        (b"[", r":1: .*Expecting value"),
        (b"[" * 100_000, r":1: .*nested too deep"),
        (b"[]", "holds no question"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
):
    path = file(tmp_path, content)
    with pytest.raises(DatasetError, match=message) as error:
        scan(path)
    assert "\n" not in str(error.value)
    assert main(["check", str(path)], dataset=None, hub=HubSettings()) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_rows_of_an_array_are_named_by_their_line(tmp_path: Path):
    path = file(
        tmp_path, b'[\n  {"id": "a", "question": "Q", "answer": "A"},\n\n  5,\n  {"id": "b",\n "question": "Q"}]'
    )
    assert [str(p).removeprefix(str(path)) for p in scan(path).problems] == [
        ":4: must be a JSON object, it is a number",
        ":5: field 'answer' is missing",
    ]


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "1" * 5000, "1" * 4300, "NaN", "1e400", "-Infinity"])
def test_a_number_in_an_unread_field_hurts_nothing(tmp_path: Path, number: str):
    row = json.dumps(ROW)[:-1] + f', "unread": {number}, "deep": [{{"n": {number}}}]}}'
    for content in (row, f"[{row}]"):
        path = file(tmp_path, content.encode())
        assert [q.id for q in load_questions(path).questions] == ["a"]
        assert main(["check", str(path)], dataset=None, hub=HubSettings()) == 0


def test_a_long_number_where_a_text_belongs_is_named(tmp_path: Path):
    path = file(tmp_path, ('{"id": "a", "question": "Q", "answer": ' + "1" * 5000 + "}").encode())
    assert [p.message for p in scan(path).problems] == ["'answer' must be a text, it is a number"]


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ({"bytes": PNG, "path": "p.png"}, PNG_URL),
        ({"bytes": base64.b64encode(PNG).decode(), "path": None}, PNG_URL),
        ({"bytes": None, "path": "https://host/p.png"}, "https://host/p.png"),
        ({"bytes": None, "path": None}, None),
        ({"src": "https://host/p.png", "height": 1, "width": 2}, "https://host/p.png"),
        ([{"bytes": PNG, "path": None}], PNG_URL),
        ([PNG_URL], PNG_URL),
        ([None, ""], None),
        ([], None),
        (PNG, PNG_URL),
        (b"", None),
    ],
)
def test_each_form_of_an_image(image: object, url: str | None):
    assert image_of(image) == url


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([PNG, PNG], "holds 2 images; a question has one"),
        ({"bytes": "?", "path": None}, "'bytes' that are not base64"),
        ({"path": "p.png"}, r"only names 'p\.png'"),
        ({"height": 3}, "an object without bytes"),
        (5, "must be a URL as text, it is a number"),
    ],
)
def test_an_image_that_cannot_be_sent_is_named(image: object, message: str):
    with pytest.raises(ValueError, match=message):
        image_of(image)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"BM6", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b'<svg xmlns="x">', "image/svg+xml"),
        (b'<?xml version="1.0"?><svg>', "image/svg+xml"),
        (b"\0\0\0\x1cftypavif", "image/avif"),
        (b"\0\0\0\x1cftypheic", "image/heic"),
        (b"??", "of a type that Podium does not know"),
    ],
)
def test_image_types_that_models_do_not_take(raw: bytes, kind: str):
    url = image_of(raw)
    assert url is not None
    assert fault_of(url) == f"'image' is {kind}, which models do not take; convert it to PNG or JPEG"


@pytest.mark.parametrize("raw", [PNG, b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "])
def test_image_types_that_models_take(raw: bytes):
    url = image_of(raw)
    assert url is not None
    assert fault_of(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("data:image/svg+xml,<svg/>", "is image/svg+xml"),
        ("data:image/png;base64,Qk0=", "is image/bmp"),
        ("data:image/png;base64,", "without content"),
        ("data:image/png", "without content"),
        ("data:image/png;base64,!!!!", "not base64"),
        ("https://host/a.SVG?x=1", "is image/svg+xml"),
    ],
)
def test_a_url_of_an_image_that_models_do_not_take(url: str, fault: str):
    assert fault in (fault_of(url) or "")
    assert fault_of("https://[bad/a.svg") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"json": json.dumps({**ROW, "image": PNG_URL})},
        {"json": {**ROW, "image": PNG_URL}, "image": ""},
        {"images": [PNG_URL]},
    ],
)
def test_a_nested_image_is_never_asked_as_text(tmp_path: Path, fields: dict[str, Any]):
    path = file(tmp_path, json.dumps({**ROW, **fields}).encode())
    question = load_questions(path).questions[0]
    assert (question.image, question.extra) == (PNG_URL, {})
    pq.write_table(pa.Table.from_pylist([{**ROW, **fields}]), path)
    assert load_questions(path).questions[0].image == PNG_URL


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ('{"image": "data:image/png;ba', "'json' names an image, but is not JSON"),
        ('{"image": 5}', "in 'json': 'image' must be a URL"),
    ],
)
def test_a_nested_image_that_cannot_be_read_is_a_problem(tmp_path: Path, nested: str, message: str):
    path = file(tmp_path, json.dumps({**ROW, "json": nested}).encode())
    assert message in scan(path).problems[0].message


@pytest.mark.parametrize("nested", ["no JSON", "", "5", '{"image": ""}', "[" * 100_000, '{"n": ' + "1" * 5000 + "}"])
def test_a_json_field_without_an_image_hurts_nothing(tmp_path: Path, nested: str):
    path = file(tmp_path, json.dumps({**ROW, "json": nested}).encode())
    assert load_questions(path).questions[0].image is None


def test_parquet_columns_that_python_cannot_hold_hurt_nothing_when_unread(tmp_path: Path):
    path = tmp_path / "d.parquet"
    table = pa.Table.from_pylist([ROW])
    table = table.append_column("late", pa.array([9_000_000_000_000_000], pa.timestamp("ms")))
    table = table.append_column("ns", pa.array([1], pa.timestamp("ns")))
    pq.write_table(table, path)
    assert [q.id for q in load_questions(path).questions] == ["a"]


def test_parquet_with_none_of_the_fields_says_which_are_missing(tmp_path: Path):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"at": pa.array([1, 2], pa.timestamp("ns"))}), path)
    assert [p.message for p in scan(path).problems] == [
        f"field {n!r} is missing" for n in ("id", "question", "answer")
    ] * 2
