"""Whatever a dataset file holds, it is read, or refused with its name in one line."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_eval.dataset.load import scan
from podium_eval.dataset.selection import DatasetError

IMAGE = "data:image/png;base64,iVBORw0KGgp4"
LONG = "1" * 5000
NAMES = ("id", "question", "answer", "image", "images", "json", "category", "canary", "rationale", "x")
HEADS = (b"", b"[", b"{\n", b"\xff\xfe", b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"PAR1", b"{\x00", b"\xef\xbb\xbf")

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([IMAGE, "data:", LONG])
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
whole = {name: st.text(min_size=1) for name in ("id", "question", "answer")}
good = st.fixed_dictionaries(whole, optional={"x": values})
odd = st.text() | st.sampled_from([LONG, "[", "{", "[]", "\ufeff", f'{{"x": {LONG}}}'])
rows = (good | st.dictionaries(st.sampled_from(NAMES), values)).map(json.dumps) | odd


def scan_or_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        found = scan(path)
    except DatasetError as error:
        said = str(error)
    else:
        said = f"{path}: read"
        assert found.n_rows >= len(found.questions)
        assert all(str(path) in problem.where for problem in found.problems + found.warnings)
    assert str(path) in said
    assert "\n" not in said


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(rows, max_size=4), st.sampled_from(["utf-8", "utf-16", "utf-16-le"]), st.booleans(), st.booleans())
def test_any_rows_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], encoding: str, packed: bool, array: bool
):
    text = f"[{', '.join(lines)}]" if array else "\n".join(lines)
    content = text.encode(encoding, "surrogatepass")
    scan_or_error(tmp_path_factory.getbasetemp() / "rows", gzip.compress(content) if packed else content)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(HEADS), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes):
    scan_or_error(tmp_path_factory.getbasetemp() / "bytes", head + rest)
