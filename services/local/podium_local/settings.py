"""The settings of podium-local itself; everything else passes through to the parts."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

ServiceName = Literal["vllm", "retrieval", "sandbox"]
SERVICES: tuple[ServiceName, ...] = ("vllm", "retrieval", "sandbox")


class LocalSettings(BaseModel):
    """Every field is a variable of the same name in capitals; __main__ lays environment, .env and defaults together.

    Addresses are shared with eval: a service is started where eval will look for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    orchestrator_url: str = Field(
        default="http://127.0.0.1:1406/v1",
        description="Where vLLM is started or reused and eval finds it; a replica at each address, by commas.",
    )
    orchestrator_model: str = Field(default="orchestrator", description="Name under which vLLM serves the model.")
    retrieval_url: str = Field(default="http://127.0.0.1:1401", description="Where retrieval is started or reused.")
    sandbox_url: str = Field(default="http://127.0.0.1:1402", description="Where the sandbox is started or reused.")
    runs_dir: Path = Field(default=Path("runs"), description="Folder that holds one folder a run.")
    run_id: str | None = Field(default=None, description="The run's name; an existing one is resumed.")
    index_dir: Path | None = Field(default=None, description="Folder with eval.index and eval.jsonl for retrieval.")
    orchestrator_gpu: str = Field(
        default="",
        description="GPUs that vLLM sees, divided among replicas; empty: all; podium-local takes auto too, the freest.",
    )
    retrieval_gpu: str = Field(
        default="", description="GPU that retrieval sees; empty: all; podium-local also takes auto, the freest."
    )
    local_reuse: str = Field(
        default="", description="Services that run already and are not started: vllm, retrieval, sandbox, by commas."
    )
    local_ports: Literal["set", "auto"] = Field(
        default="set",
        description="set: services listen where SERVE_PORT, RETRIEVAL_PORT, SANDBOX_PORT or their addresses say; "
        "auto: on free ports.",
    )
    local_live: bool = Field(
        default=True, description="Start the live page beside the run, at LIVE_PORT of this machine (--no-live: false)."
    )
    live_port: int = Field(default=1480, ge=0, le=65535, description="Port of the live page; 0 takes a free one.")
    local_state_dir: Path = Field(
        default=Path(".podium"), description="Folder for what podium-local makes once: embedded model, demo index."
    )
    local_start_timeout_s: PositiveFloat = Field(
        default=900.0, description="Longest wait until every service is healthy, in seconds."
    )
    local_stop_timeout_s: PositiveFloat = Field(
        default=15.0, description="Seconds between SIGTERM and SIGKILL when a service is stopped."
    )
    local_restarts: PositiveInt = Field(
        default=20, description="How often a service that dies during a run is started again before the run is stopped."
    )

    @field_validator("local_reuse")
    @classmethod
    def _known(cls, value: str) -> str:
        unknown = [name for name in _names(value) if name not in SERVICES]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: the services are {', '.join(SERVICES)}")
        return value

    @property
    def reuse(self) -> frozenset[str]:
        """The services that are not started."""
        return frozenset(_names(self.local_reuse))


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]
