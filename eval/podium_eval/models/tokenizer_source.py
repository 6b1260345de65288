# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Where the orchestrator's own tokenizer is found: a file, a model's folder, or the hub's cache."""

import re
from pathlib import Path
from typing import Final

from podium_eval.errors import ConfigError
from podium_eval.models.tokens import TokenizerCounter

_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w.-]+\Z")
_FILE: Final = "tokenizer.json"


def named_tokenizer(source: str) -> TokenizerCounter:
    """ORCHESTRATOR_TOKENIZER: a tokenizer.json, a folder that holds one, or a model's name on the hub (fetched once).

    Raises:
        ConfigError: it is none of them, or the hub does not give it.
    """
    path = Path(source)
    if not path.exists() and _HUB_NAME.match(source):
        import huggingface_hub  # slow to import, and most runs name a folder

        try:
            path = Path(huggingface_hub.hf_hub_download(source, _FILE))
        except Exception as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ConfigError(
                [f"ORCHESTRATOR_TOKENIZER={source} is no file or folder here, and the hub gives none: {first}"]
            ) from error
    try:
        return TokenizerCounter.load(path)
    except ValueError as error:
        raise ConfigError([f"ORCHESTRATOR_TOKENIZER: {error}"]) from error


def served_tokenizer(serve_model: str) -> TokenizerCounter | None:
    """The tokenizer of the checkpoint that SERVE_MODEL names, where it is seen from here; nothing is fetched."""
    path: Path | str | None = Path(serve_model)
    if not Path(serve_model).exists():
        if not _HUB_NAME.match(serve_model):
            return None
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(serve_model, _FILE)
        path = cached if isinstance(cached, str) else None
    try:
        return None if path is None else TokenizerCounter.load(Path(path))
    except ValueError:
        return None
