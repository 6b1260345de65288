"""The settings of what a run shows of itself to other programs: GPU samples, OpenTelemetry, Prometheus."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """Every field is an environment variable of the same name in capitals, and an option of `podium-eval run`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    sample_gpus: str = Field(
        default="all",
        description="GPUs of the run, whose use and power are sampled: all, none, or NVML's indexes or UUIDs.",
    )
