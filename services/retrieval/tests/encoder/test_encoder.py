"""The encoder: packed batches equal padded ones, whatever the model's kind of attention and pooling."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from podium_retrieval.encoder.forward import PackedForward
from podium_retrieval.encoder.model_path import resolve_model
from podium_retrieval.encoder.sentence import EncoderOptions, SentenceEmbedder
from podium_retrieval.errors import StartError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    Gemma3TextConfig,
    Gemma3TextModel,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

WORDS = 50
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
MODELS: dict[str, Any] = {
    "bert-mean": (BertModel, BertConfig(vocab_size=WORDS + 3, **SIZES), "mean"),
    "bert-cls": (BertModel, BertConfig(vocab_size=WORDS + 3, **SIZES), "cls"),
    "xlmr-mean": (XLMRobertaModel, XLMRobertaConfig(vocab_size=WORDS + 3, pad_token_id=1, **SIZES), "mean"),
    "qwen3-last": (
        Qwen3Model,
        Qwen3Config(vocab_size=WORDS + 3, num_key_value_heads=2, head_dim=8, **SIZES),
        "lasttoken",
    ),
}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 0, "cls_token_id": 0, "sep_token_id": 0}


def windowed(kind: str, width: int) -> Any:
    """A row of MODELS whose attention reaches over `width` tokens, in some layers or in all."""
    sizes: dict[str, Any] = {"vocab_size": WORDS + 3, **SIZES, "pad_token_id": 1}
    mixed = {"layer_types": ["sliding_attention", "full_attention"], "num_key_value_heads": 2, "head_dim": 8}
    if kind == "modernbert":
        config = ModernBertConfig(**{**sizes, **SPECIAL}, local_attention=2 * (width - 1))
        return ModernBertModel, config, "mean"
    if kind == "mistral":
        config = MistralConfig(**sizes, num_key_value_heads=2, head_dim=8, sliding_window=width)
        return MistralModel, config, "lasttoken"
    both = kind == "gemma3-both-ways"  # as EmbeddingGemma; its configuration tells the window of both sides together
    config = Gemma3TextConfig(
        **sizes,
        **mixed,
        sliding_window=2 * (width - 1) if both else width,
        use_bidirectional_attention=both,
        query_pre_attn_scalar=8,
    )
    return Gemma3TextModel, config, "mean" if both else "lasttoken"


WINDOWED = ("modernbert", "gemma3", "gemma3-both-ways", "mistral")


def make(folder: Path, name: str, prompts: dict[str, str] | None = None, width: int | None = None) -> Path:
    """A small model with random weights, saved as sentence-transformers saves one."""
    kind, config, pooling = MODELS[name] if width is None else windowed(name, width)
    vocabulary = {f"w{number}": number + 3 for number in range(WORDS)} | {"<end>": 0, "<pad>": 1, "<unk>": 2}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=100
    ).save_pretrained(folder / "base")
    torch.manual_seed(5)
    kind(config).save_pretrained(folder / "base")
    model = SentenceTransformer(
        modules=[Transformer(str(folder / "base")), Pooling(32, pooling), Normalize()], device="cpu", prompts=prompts
    )
    model.save(str(folder / "model"))
    return folder / "model"


def load(model: str | Path, **changes: Any) -> SentenceEmbedder:
    options: dict[str, Any] = {"device": "cpu", "dtype": "float32", "query_tokens": 64, "document_tokens": 80}
    return SentenceEmbedder.load(EncoderOptions(model=str(model), **{**options, **changes}))


def texts(count: int) -> list[str]:
    draw = np.random.default_rng(1)
    return [" ".join(f"w{draw.integers(WORDS)}" for _ in range(draw.integers(1, 60))) for _ in range(count)]


@pytest.mark.parametrize("name", MODELS)
def test_packed_padded_alone_and_the_library_agree(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, name)
    packed = load(folder)
    assert packed.packed
    assert packed.dimension == 32
    asked = texts(40)
    together = packed.encode([packed.prepare(one) for one in asked])
    alone = np.concatenate([packed.encode([packed.prepare(one)]) for one in asked])
    padded_one = load(folder, packing=False)
    padded = padded_one.encode([padded_one.prepare(one) for one in asked])
    theirs = SentenceTransformer(str(folder), device="cpu").encode(asked)
    assert not padded_one.packed
    for other in (alone, padded, theirs):
        assert np.allclose(together, other, atol=2e-5)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize(("width", "fits"), [(9, False), (79, False), (80, True)])
def test_a_narrow_window_pads_with_one_warning(
    tmp_path: Path, name: str, width: int, fits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(tmp_path, name, width=width)
    with caplog.at_level("WARNING", "podium_retrieval"):
        embedder = load(folder)
    warned = [record.getMessage() for record in caplog.records if record.name.startswith("podium_retrieval")]
    assert embedder.packed is fits
    assert len(warned) == (0 if fits else 1)
    assert fits or f"up to 80 tokens and the model's attention reaches over {width} of them" in warned[0]
    asked = [*texts(40), " ".join(["w3 w4"] * 50)]
    ours = embedder.encode([embedder.prepare_document(one) for one in asked])
    library = SentenceTransformer(str(folder), device="cpu")
    library.max_seq_length = 80
    assert np.allclose(ours, library.encode(asked), atol=2e-5)


@pytest.mark.parametrize("name", WINDOWED)
def test_a_layer_with_a_smaller_window_refuses_to_be_packed(tmp_path: Path, name: str) -> None:
    model = SentenceTransformer(str(make(tmp_path, name, width=40)), device="cpu")
    options: dict[str, Any] = {"prompt_tokens": 0, "cuda_graphs": False, "compile_layers": False}
    with pytest.raises(ValueError, match="up to 41 tokens and the model's attention reaches over 40"):
        PackedForward(model, **options, longest_batch_tokens=100, longest_text=41)
    PackedForward.undo(model)
    assert PackedForward(model, **options, longest_batch_tokens=100, longest_text=40).packed


def test_the_models_query_prompt_can_be_replaced(tmp_path: Path) -> None:
    folder = make(tmp_path, "qwen3-last", prompts={"query": "w1 w2 ", "document": ""})
    embedder = load(folder)
    assert embedder.prepare("w5").payload.tolist() == [4, 5, 8, 0]
    assert embedder.prepare_document("w5").payload.tolist() == [8, 0]
    assert load(folder, instruction="w9 ").prepare("w5").payload.tolist() == [12, 8, 0]
    assert load(folder, instruction="").prepare("w5").payload.tolist() == [8, 0]
    theirs = SentenceTransformer(str(folder), device="cpu").encode(["w5 w6"], prompt_name="query")
    assert np.allclose(embedder.encode([embedder.prepare("w5 w6")]), theirs, atol=2e-5)


def test_truncated_texts_keep_their_end_token(tmp_path: Path) -> None:
    embedder = load(make(tmp_path, "qwen3-last"), query_tokens=10, document_tokens=20)
    long = " ".join(["w3"] * 500)
    assert embedder.prepare(long).n_tokens == 10
    assert embedder.prepare(long).payload[-1] == 0
    assert embedder.prepare_document(long).n_tokens == 20


def test_the_packaged_model_in_bf16_is_near_to_float32() -> None:
    exact = load("embedded")
    rough = load("embedded", dtype="bfloat16")
    asked = ["what is a falcon", "a much longer question about the nesting of the osprey " * 3, "x"]
    a = exact.encode([exact.prepare(one) for one in asked])
    b = rough.encode([rough.prepare(one) for one in asked])
    assert exact.dimension == 384
    assert (a * b).sum(axis=1).min() > 0.999
    assert exact.weight_bytes == 2 * rough.weight_bytes


TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def packaged(folder: Path) -> Path:
    """A copy of the packaged model that a test may take files from."""
    return Path(shutil.copytree(resolve_model("embedded"), folder / "copy"))


@pytest.mark.parametrize("left", [(), ("tokenizer_config.json",), ("tokenizer_config.json", "special_tokens_map.json")])
def test_a_model_folder_without_tokenizer_files_stops_the_start(tmp_path: Path, left: tuple[str, ...]) -> None:
    folder = packaged(tmp_path)
    for name in set(TOKENIZER_FILES) - set(left):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(StartError, match=r"copy has a tokenizer that gives different texts .*tokenizer\.json"):
        load(folder)


@pytest.mark.parametrize("name", MODELS)
def test_so_does_one_of_any_other_kind(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, name)
    for file in TOKENIZER_FILES:
        (folder / file).unlink(missing_ok=True)
    with pytest.raises(StartError, match=r"has a tokenizer that gives|cannot be loaded"):
        load(folder)


def test_a_vocabulary_that_knows_next_to_nothing_stops_the_start(tmp_path: Path) -> None:
    folder = packaged(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "red"]))
    with pytest.raises(StartError, match="has a tokenizer that gives"):
        load(folder)


@pytest.mark.parametrize("letters", ["红色的鸟在唱歌寒冷的河流淌", "красняптицпоехолдетч"])
def test_a_vocabulary_of_one_other_script_is_taken(tmp_path: Path, letters: str) -> None:
    folder = packaged(tmp_path)
    (folder / "tokenizer.json").unlink()
    known = [*dict.fromkeys(letters)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *known, *(f"##{letter}" for letter in known)]))
    assert load(folder).dimension == 384


def test_models_that_are_not_there_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(StartError, match="without config"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StartError, match="cannot be loaded"):
        load(tmp_path)
