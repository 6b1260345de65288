from pathlib import Path

import pytest
from harness.tokenizer import byte_level_tokenizer
from loopback.recording import models_for
from podium_eval.errors import ConfigError
from podium_eval.models.tokenizer_source import named_tokenizer, served_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    byte_level_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def cached(cache: Path, folder: Path, repo: str) -> None:
    """Lay a model out as huggingface_hub's cache does."""
    place = cache / f"models--{repo.replace('/', '--')}"
    snapshot = place / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("c0ffee")
    (snapshot / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())


def test_a_folder_or_a_file_is_read(folder: Path) -> None:
    assert named_tokenizer(str(folder)).count("the") == 1
    assert named_tokenizer(str(folder / "tokenizer.json")).exact


def test_a_name_that_the_hub_does_not_give_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="ORCHESTRATOR_TOKENIZER=no/such is no file or folder here"):
        named_tokenizer("no/such")


def test_the_served_checkpoint_gives_its_tokenizer_where_it_is_seen(folder: Path) -> None:
    assert served_tokenizer(str(folder)) is not None
    assert served_tokenizer("/models/only/in/the/other/container") is None
    assert served_tokenizer(str(folder / "nothing-here")) is None
    models = models_for("http://h/v1", serve_model=str(folder))
    assert models.orchestrator_tokens.exact
    assert models.describe()["orchestrator"]["token_count"] == "tokenizer"
    assert models_for("http://h/v1", serve_model="/elsewhere").describe()["orchestrator"]["token_count"] == "estimate"


def test_a_hub_checkpoint_is_looked_for_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    cached(cache, folder, "owner/model")
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(cache), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert served_tokenizer("owner/model") is not None
    assert served_tokenizer("owner/other") is None
