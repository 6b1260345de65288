# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Datasets by name: a file, or `[hub:]owner/name[@revision]` through huggingface_hub and its cache."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from podium_eval.dataset.fields import Fields
from podium_eval.dataset.load import Dataset, Scan, load_questions, scan
from podium_eval.dataset.selection import DatasetError, Selection
from podium_eval.settings.run import HubSettings

PREFIX: Final = "hub:"
_NAME: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?\Z")
_FORMATS: Final = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv")
_FILE_SUFFIXES: Final = (*_FORMATS, ".gz", ".arrow", ".txt", ".zip", ".zst", ".xz", ".bz2")


def load_dataset(source: str, selection: Selection, settings: HubSettings, fields: Fields | None = None) -> Dataset:
    """The selected questions of a file or a hub dataset. A hub dataset's path names the commit that was read.

    fields: the benchmark's; None: HLE's.

    Raises:
        DatasetError: as load_questions; or the hub refuses, lacks or cannot be asked for the dataset.
    """
    if not is_on_hub(source):
        return load_questions(Path(source), selection, fields)
    files, path = hub_files(source, settings)
    return replace(load_questions(files, selection, fields), path=path, version=path.rpartition("@")[2])


def scan_dataset(source: str, settings: HubSettings, fields: Fields | None = None) -> tuple[Scan, tuple[Path, ...]]:
    """Every row with every problem, and the files they came from.

    Raises:
        DatasetError: as scan and hub_files.
    """
    if not is_on_hub(source):
        return scan(Path(source), fields), (Path(source),)
    files, path = hub_files(source, settings)
    result = scan(files, fields)
    result.path = path
    return result, tuple(files)


def is_on_hub(source: str) -> bool:
    """Whether a dataset's name is one of the hub: with `hub:`, or owner/name where that cannot mean a file here.

    A file or folder of that name, a folder of the owner's name, or a data file's suffix means a file.

    Raises:
        DatasetError: it is an address.
    """
    if source.startswith(PREFIX):
        return True
    if "://" in source:
        raise DatasetError(f"{source}: is an address; name a hub dataset as owner/name (cais/hle), or give a file")
    if _NAME.match(source) is None or source.lower().endswith(_FILE_SUFFIXES):
        return False
    path = Path(source)
    return not path.exists() and not path.parent.exists()


def hub_files(source: str, settings: HubSettings) -> tuple[list[Path], str]:
    """Fetch the split's files into huggingface_hub's cache; what is there already is not fetched again.

    Returns:
        The files in the order of their names, and `hub:owner/name@commit`.

    Raises:
        DatasetError: one line with the remedy.
    """
    match = _NAME.match(source.removeprefix(PREFIX))
    if match is None:
        raise DatasetError(f"DATASET={source}: name a hub dataset as hub:owner/name or hub:owner/name@revision")
    try:
        folder = _fetch(match["repo"], match["revision"], settings)
    except DatasetError as error:
        if source.startswith(PREFIX):
            raise
        raise DatasetError(f"{error} (there is no file {source} either)") from error
    files = _split_files(sorted(p for p in folder.rglob("*") if p.name.endswith(_FORMATS)), settings.dataset_split)
    if not files:
        raise DatasetError(
            f"{source}: has no Parquet or JSON file of the split {settings.dataset_split!r}; set DATASET_SPLIT"
        )
    return files, f"{PREFIX}{match['repo']}@{folder.name}"


def _fetch(repo: str, revision: str | None, settings: HubSettings) -> Path:
    import huggingface_hub  # slow to import, and most runs read a file
    from huggingface_hub import errors

    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo,
                repo_type="dataset",
                revision=revision,
                # False: a token that someone logged in with on this machine is not used behind the user's back.
                token=token or False,
                endpoint=settings.hf_endpoint,
                allow_patterns=[f"*{suffix}" for suffix in _FORMATS],
            )
        )
    except errors.GatedRepoError as error:
        state = "the account of HF_TOKEN has not accepted them" if token else "HF_TOKEN is not set"
        raise DatasetError(
            f"hub:{repo} is gated and {state}: accept the terms on the dataset's page with your account, "
            "then set HF_TOKEN to a read token of that account"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DatasetError(f"hub:{repo}: has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        hint = "or HF_TOKEN may not read it" if token else "or it is private and HF_TOKEN is not set"
        raise DatasetError(f"hub:{repo}: no such dataset, {hint}") from error
    except errors.LocalEntryNotFoundError as error:
        raise DatasetError(
            f"hub:{repo}: the hub cannot be reached and the dataset is not in the cache; "
            "check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or set DATASET to a file"
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatasetError(f"hub:{repo}: cannot be fetched: {first}") from error


def _split_files(files: Sequence[Path], split: str) -> list[Path]:
    """The files whose name is the split or begins with it and a dash; of several formats the first of _FORMATS wins."""
    for suffix in _FORMATS:
        stems = {p: p.name.removesuffix(suffix) for p in files if p.name.endswith(suffix)}
        matches = [p for p, stem in stems.items() if stem == split or stem.startswith(f"{split}-")]
        if matches:
            return matches
    return []
