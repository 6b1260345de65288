"""What other services of the stack are started with and the stack's first job looks at, beside eval's own settings."""

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

INDEX_FILES: Final = ("eval.index", "eval.jsonl")


class StackSettings(BaseSettings):
    """Environment variables of retrieval's; unset where no stack is started here."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    index_dir: Path | None = Field(default=None, description="Folder that holds eval.index and eval.jsonl.")


def index_problem(folder: Path) -> str | None:
    """Why retrieval could not start with INDEX_DIR=folder; None: both files are there."""
    try:
        missing = [name for name in INDEX_FILES if not (folder / name).is_file()]
    except OSError as error:
        return f"INDEX_DIR={folder} cannot be read: {error.strerror}"
    if not missing:
        return None
    return (
        f"INDEX_DIR: {folder} has no {' and no '.join(missing)}: name the folder that holds both; "
        "podium-retrieval build-index or fetch-index makes them"
    )
