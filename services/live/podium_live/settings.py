"""Settings of the live page, read once from LIVE_* variables and RUNS_DIR."""

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class LiveSettings(BaseSettings):
    """Where the runs are, who may look at them, and how much the service does. Times in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_file=".env")

    runs_dir: Path = Field(default=Path("runs"), description="Folder of the run folders.")
    live_host: str = Field(
        default="127.0.0.1", description="Address the page listens on; beyond this machine with a token."
    )
    live_port: int = Field(default=1480, ge=0, le=65535, description="Port of the page; 0 takes a free one.")
    live_token: SecretStr | None = Field(
        default=None, description="Whoever looks must give it (http://…/?token=…); with it the page can steer a run."
    )
    live_hosts: str = Field(
        default="", description="Names that the page is called by, besides localhost and addresses; by commas."
    )
    live_published_locally: bool = Field(
        default=False,
        description="LIVE_HOST is a container's own, published on 127.0.0.1 alone: no token is needed.",
    )
    live_interval_s: PositiveFloat = Field(default=1.0, le=2.0, description="Time between two looks at a run's files.")
    live_viewers: PositiveInt = Field(
        default=64, description="Pages that may be open at once; beyond, the answer is 503."
    )
    live_text_chars: PositiveInt = Field(
        default=20_000, description="Characters of one text that a trajectory shows; a link leads to the whole."
    )
    live_record_mb: PositiveInt = Field(default=256, description="Largest file of tasks/ that is shown, in MB.")
    live_analysis_timeout_s: PositiveFloat = Field(
        default=300.0, description="Longest time that a report or a comparison may take to be made."
    )
    live_control_timeout_s: PositiveFloat = Field(default=10.0, description="Longest wait for a run's reply to an act.")

    @property
    def names(self) -> frozenset[str]:
        """Host names that requests may carry, addresses apart."""
        return frozenset({"localhost", *(name.strip().lower() for name in self.live_hosts.split(",") if name.strip())})

    @model_validator(mode="after")
    def _who_may_look(self) -> Self:
        if self.live_token is not None and len(self.live_token.get_secret_value()) < 16:
            raise ValueError("LIVE_TOKEN: at least 16 characters, such as `openssl rand -hex 16` prints")
        if not is_loopback(self.live_host) and self.live_token is None and not self.live_published_locally:
            raise ValueError(
                f"LIVE_HOST={self.live_host} lets other machines in: set LIVE_TOKEN, or LIVE_HOST=127.0.0.1"
            )
        return self
