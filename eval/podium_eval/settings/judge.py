"""Settings of the judge beside its model, which JUDGE names."""

from pydantic import Field, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


class JudgeSettings(BaseSettings):
    """Environment variables JUDGE_…"""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_prefix="JUDGE_")

    max_tokens: PositiveInt = Field(default=4096, description="Most tokens of one judgement, its thinking included.")
    text_chars: PositiveInt | None = Field(
        default=None,
        description="Most characters of each text of a judgement, for judges too small to end one.",
    )
    attempts: PositiveInt = Field(
        default=2,
        description="How often the judge is asked until its reply holds a verdict.",
    )
