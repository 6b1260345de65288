"""An embedder of Qwen3-Embedding-8B's shape with random weights, and an index of random unit vectors, as files.

What podium-retrieval loads on a machine that fetches nothing: OUT/embedder (EMBEDDING_MODEL) in sentence-transformers'
own layout, with last-token pooling and a query prompt, and OUT/index (INDEX_DIR) with eval.index and eval.jsonl.

    python bench/gpu/embedder.py OUT --tokenizer DIR [--documents 300000] [--device cuda:0] [--tiny]
"""

import argparse
import json
import random
from pathlib import Path

import faiss
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

SHAPE = {
    "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "intermediate_size": 12_288, "rope_theta": 1e6, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 32_768,
}  # fmt: skip
TINY = {
    **SHAPE, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "intermediate_size": 128,
}  # fmt: skip
WORDS = [
    "value", "error", "module", "path", "thread", "queue", "packet", "window",
    "kernel", "matrix", "vector", "prime", "graph", "field", "state",
]  # fmt: skip
PROMPT = "Instruct: Find passages that help to solve the problem\nQuery:"


def write_embedder(out: Path, tokenizer_folder: Path, device: str, tiny: bool) -> None:
    """Random weights straight to safetensors; a stand-in of one layer goes first, to have the usual files around."""
    raw = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    end = "<|endoftext|>"
    raw.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, raw.token_to_id(end))])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token=end, eos_token=end, padding_side="left", model_max_length=8192
    )
    shape = {**(TINY if tiny else SHAPE), "vocab_size": raw.get_vocab_size()}
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device):
        torch.manual_seed(0)
        model = Qwen3Model(Qwen3Config(**shape))
    torch.set_default_dtype(before)
    stand_in = out / "stand-in"
    tokenizer.save_pretrained(stand_in)
    Qwen3Model(Qwen3Config(**{**shape, "num_hidden_layers": 1, "vocab_size": 64})).half().save_pretrained(stand_in)
    transformer = Transformer(str(stand_in))
    transformer.model = model.to(dtype).eval()
    whole = SentenceTransformer(
        modules=[transformer, Pooling(shape["hidden_size"], "lasttoken"), Normalize()],
        device=device,
        prompts={"query": PROMPT, "document": ""},
    )
    whole.save(str(out / "embedder"))


def write_index(out: Path, documents: int, dimension: int, device: str) -> None:
    """Flat, fp16, inner product; a corpus of as many lines of generated text."""
    out.mkdir(parents=True, exist_ok=True)
    index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    generator = torch.Generator(device).manual_seed(1)
    for start in range(0, documents, 20_000):
        vectors = torch.randn(min(20_000, documents - start), dimension, generator=generator, device=device)
        index.add(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
    faiss.write_index(index, str(out / "eval.index"))
    rng = random.Random(3)
    words = WORDS
    with (out / "eval.jsonl").open("w") as file:
        for row in range(documents):
            text = " ".join(rng.choices(words, k=90))
            file.write(json.dumps({"id": str(row), "title": f"Passage {row}", "contents": text}) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder that shapes.py wrote")
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    write_embedder(args.out, args.tokenizer, args.device, args.tiny)
    write_index(args.out / "index", args.documents, (TINY if args.tiny else SHAPE)["hidden_size"], args.device)
    print(args.out)
