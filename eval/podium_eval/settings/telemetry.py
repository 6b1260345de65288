"""The settings of what a run shows of itself to other programs: GPU samples, OpenTelemetry, Prometheus."""

from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, NonNegativeInt, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """Every field is an environment variable of the same name in capitals, and an option of `podium-eval run`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    sample_gpus: str = Field(
        default="all",
        description="GPUs of the run, whose use and power are sampled: all, none, or NVML's indexes or UUIDs.",
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None,
        description="OpenTelemetry collector (OTLP over HTTP, http://host:4318) that gets a trace of each task; needs "
        "podium-eval[otel].",
    )
    otel_content: bool = Field(
        default=False, description="Put questions, answers, programs and documents into the traces too."
    )
    otel_finish_s: NonNegativeFloat = Field(
        default=15.0, description="Longest wait at a run's end for traces that are not exported yet."
    )
    eval_metrics_port: NonNegativeInt = Field(
        default=0, le=65535, description="Port of the run's own /metrics for Prometheus, such as 1404; 0: none."
    )
    eval_metrics_host: str = Field(default="127.0.0.1", description="Address that /metrics is served on.")

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith(("http://", "https://")) and urlsplit(value).netloc):
            raise ValueError(f"{value!r} is no address of an OTLP collector over HTTP, such as http://127.0.0.1:4318")
        return value
