"""The embedded model: whole or absent, the same bytes each time, readable, and a tokenizer that splits digits."""

import hashlib
from pathlib import Path

import pytest
from podium_vllm import embedded
from podium_vllm.embedded import STAMP, EmbeddedModelError, build


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded") / "model"
    assert build(folder) is True
    return folder


@pytest.mark.vllm
def test_a_changed_recipe_is_built_again(model: Path, tmp_path: Path) -> None:
    assert build(model) is False
    older = tmp_path / "older"
    older.mkdir()
    (older / STAMP).write_text("{}")
    assert build(older) is True
    assert digests(older) == digests(model)
    assert {path.stat().st_mode & 0o777 for path in model.iterdir()} == {0o644}
    assert sorted(p.name for p in tmp_path.iterdir()) == [".older.lock", "older"]


@pytest.mark.vllm
def test_digits_are_single_tokens_and_tools_are_rendered(model: Path) -> None:
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(model / "tokenizer.json")).encode("It is 2025.").tokens
    assert tokens[-5:] == ["2", "0", "2", "5", "."]
    assert (model / "chat_template.jinja").read_text() == embedded.chat_template()


def test_someone_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("mine")
    with pytest.raises(EmbeddedModelError, match="name another folder"):
        build(tmp_path / "model")
    assert (tmp_path / "model" / "thesis.tex").read_text() == "mine"
