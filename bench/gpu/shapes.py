"""Model folders with a real architecture, no weights: `vllm serve DIR --load-format dummy` fills them at random.

Nothing can be fetched on the GPU machine, so the tokenizer is trained here, on the Python sources of the machine's own
standard library, and its vocabulary filled up to the architecture's size: a random model then says only tokens that
exist, and a grammar masks a vocabulary of the true size.

    python bench/gpu/shapes.py OUT [--shape 8b|tiny] [--vocab 151936]
"""

import argparse
import json
import sysconfig
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# Qwen3-8B's published config.json: layers, widths and heads; tiny keeps the proportions for a CPU.
SHAPES: dict[str, dict[str, int]] = {
    "8b": {
        "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    },
    "tiny": {
        "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 192,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    },
}  # fmt: skip

# Hermes form: tools as JSON in the system part, calls in <tool_call> tags, which vLLM's hermes parser reads.
CHAT_TEMPLATE = """{%- if tools %}<|im_start|>system
{%- if messages[0].role == 'system' %}
{{ messages[0].content }}
{%- endif %}
Functions you can call, one JSON object a line:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
Write a call as <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for m in messages %}{%- if m.role != 'system' %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]


def train_tokenizer(vocab: int) -> Tokenizer:
    """A byte-level BPE of at most 32,000 learned tokens, filled with unreachable ones up to `vocab`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    trainer = trainers.BpeTrainer(
        vocab_size=min(32_000, vocab - 64),
        special_tokens=SPECIAL[:3],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(p) for p in sources], trainer)
    raw = json.loads(tokenizer.to_str())
    table: dict[str, int] = raw["model"]["vocab"]
    for at in range(len(table), vocab - 2):
        table[f"Ġfill{at}"] = at
    filled = Tokenizer.from_str(json.dumps(raw))
    filled.add_tokens(SPECIAL[3:])
    return filled


def write(out: Path, shape: str, vocab: int) -> None:
    """Write config, generation config, tokenizer and chat template to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(vocab)
    tokenizer.save(str(out / "tokenizer.json"))
    end = tokenizer.token_to_id("<|im_end|>")
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": vocab, **SHAPES[shape],
        "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "hidden_act": "silu",
        "attention_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": False, "use_cache": True,
        "initializer_range": 0.02, "torch_dtype": "bfloat16",
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"), "eos_token_id": end,
    }  # fmt: skip
    (out / "config.json").write_text(json.dumps(config, indent=1))
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": end, "do_sample": True}))
    (out / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "<|im_end|>",
                "pad_token": "<|endoftext|>",
                "model_max_length": 40960,
                "chat_template": CHAT_TEMPLATE,
            }
        )
    )
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="8b")
    parser.add_argument("--vocab", type=int, default=151_936)
    args = parser.parse_args()
    write(args.out, args.shape, args.vocab)
    print(args.out)
