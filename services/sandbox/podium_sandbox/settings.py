"""Settings of the sandbox, read once from SANDBOX_* variables."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20


class SandboxSettings(BaseSettings):
    """Every limit of the sandbox. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="SANDBOX_", frozen=True, extra="ignore", env_ignore_empty=True, env_file=".env"
    )

    host: str = Field(default="127.0.0.1", description="Address the service listens on.")
    port: int = Field(default=1402, ge=0, le=65535, description="Port of the service; 0 takes a free one.")
    concurrency: int = Field(
        default=0, ge=0, le=256, description="Programs that run at once; 0: as many as there are CPUs, at least 2."
    )
    queue: NonNegativeInt = Field(default=512, description="Programs that may wait; beyond, the answer is 429.")
    queue_timeout_s: PositiveFloat = Field(default=300.0, description="Longest wait for a slot, then 503.")
    retry_after_s: PositiveInt = Field(default=2, description="Retry-After of a 429 or 503.")
    timeout_s: PositiveFloat = Field(default=60.0, description="Wall time of a program that asks for none.")
    max_timeout_s: PositiveFloat = Field(default=300.0, description="Longest wall time a request may ask for.")
    cpu_s: PositiveFloat = Field(default=60.0, description="CPU time of all processes of one program together.")
    memory_bytes: PositiveInt = Field(
        default=2048 * MIB, description="Memory of one program, all of its processes together."
    )
    processes: PositiveInt = Field(default=64, description="Processes and threads of one program.")
    open_files: int = Field(default=256, ge=16, description="Open files of each process of a program.")
    file_bytes: PositiveInt = Field(default=64 * MIB, description="Largest file a program may write.")
    scratch_bytes: PositiveInt = Field(default=256 * MIB, description="All files of one program together.")
    output_bytes: int = Field(
        default=65_536,
        ge=1024,
        description="Kept of stdout, and of stderr: beginning and end, with a mark between.",
    )
    output_kill_bytes: PositiveInt = Field(
        default=64 * MIB, description="Output that ends a program: the sum of stdout and stderr."
    )
    code_bytes: PositiveInt = Field(default=MIB, description="Longest program that is taken, in UTF-8.")
    body_timeout_s: PositiveFloat = Field(default=30.0, description="Longest wait for a request's body, then 408.")
    scratch_dir: Path = Field(
        default=Path("/tmp/podium-sandbox"),
        description="Folder for scratch folders where programs do not get a file system of their own.",
    )
    walls: Literal["auto", "namespaces", "filters"] = Field(
        default="auto",
        description="How programs are confined: by namespaces, by Landlock and seccomp alone, or the first that works.",
    )
    unsafe: bool = Field(
        default=False,
        description="1: start even where the kernel allows too little isolation. Only for programs you trust.",
    )
    uid_base: PositiveInt = Field(
        default=1_879_048_192,
        description="First of 256 million unused user ids; as root each program gets one of its own.",
    )
    preload: str = Field(
        default="numpy,scipy.special,scipy.linalg,scipy.optimize,scipy.integrate,scipy.stats,sympy,pandas,"
        "matplotlib.pyplot",
        description="Modules imported once, which every program then finds loaded.",
    )
    start_timeout_s: PositiveFloat = Field(
        default=60.0, description="Longest time for loading and testing the isolation layers."
    )
    grace_s: PositiveFloat = Field(
        default=30.0, description="Longest wait for the system: starting a program, ending its processes, its output."
    )
    drain_s: PositiveInt = Field(
        default=20, description="Time that programs get when the service is stopped, then 503."
    )
    watch_s: PositiveFloat = Field(default=0.1, description="Time between two looks at a program's use of the machine.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Level of the sandbox's log; DEBUG includes the programs."
    )

    @property
    def slots(self) -> int:
        """Programs that run at once on this machine."""
        return self.concurrency or max(2, min(256, len(os.sched_getaffinity(0))))

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.timeout_s > self.max_timeout_s:
            raise ValueError(
                f"SANDBOX_TIMEOUT_S={self.timeout_s:g} exceeds SANDBOX_MAX_TIMEOUT_S={self.max_timeout_s:g}: lower the "
                "first or raise the second"
            )
        if self.code_bytes > min(self.file_bytes, self.scratch_bytes):
            raise ValueError(
                f"SANDBOX_CODE_BYTES={self.code_bytes} exceeds SANDBOX_FILE_BYTES={self.file_bytes} or "
                f"SANDBOX_SCRATCH_BYTES={self.scratch_bytes}: a program is a file of its own scratch folder"
            )
        return self
