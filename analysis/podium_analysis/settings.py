"""Settings of the analysis, read once from the environment and .env by the command; an option overrides its setting."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class AnalysisSettings(BaseSettings):
    """What `podium-analysis report` needs to know."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    runs_dir: Path = Field(Path("runs"), description="Folder of the run folders.")
    run_id: str | None = Field(None, description="The run to analyse; empty: the one whose log was written last.")
    analysis_bins: int = Field(10, ge=1, le=100, description="Bins of every histogram, linear and logarithmic.")
    analysis_formats: Annotated[tuple[Literal["png", "svg"], ...], NoDecode] = Field(
        ("png", "svg"), min_length=1, description="File formats of the figures, separated by commas."
    )
    analysis_memory_mb: int = Field(
        512, ge=128, description="Memory of the event table in MB; what is beyond is kept in a temporary folder."
    )
    analysis_workers: int | None = Field(
        None, ge=1, description="Processes that draw figures and threads that read; empty: one a core."
    )

    analysis_trace_events: int = Field(
        250_000, ge=0, description="Logs of more events get no trace.json by themselves: a viewer would not open it."
    )

    @field_validator("analysis_formats", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
        return value
