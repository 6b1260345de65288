"""The settings of a run that are not about models: which questions, where to, how many at once, when to give up."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from podium_contracts.levels import LEVELS
from podium_contracts.names import Protocol
from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from podium_eval.settings.secrets import Key
from podium_eval.settings.telemetry import TelemetrySettings
from podium_eval.settings.tools import ToolSettings


class HubSettings(BaseSettings):
    """How to reach the hub; huggingface_hub's own HF_HOME and HF_HUB_OFFLINE hold as well."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    hf_token: Key | None = Field(
        default=None, description="Token of an account that may read the hub dataset (HLE is gated)."
    )
    hf_endpoint: str | None = Field(default=None, description="Address of a hub mirror; empty: the public hub.")
    dataset_split: str = Field(default="test", description="Split of a hub dataset, as its files are named.")


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")) or not urlsplit(value).netloc:
        raise ValueError(f"{value!r} is not an address such as http://host:port")
    return value


Address = Annotated[str, AfterValidator(_address)]


class RunSettings(ToolSettings, TelemetrySettings):
    """Every field is an environment variable of the same name in capitals, and an option of `podium-eval run`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    dataset: str | None = Field(
        default=None,
        description="The questions: a .jsonl or .parquet file in HLE's fields, or a hub dataset's name.",
    )
    benchmark: str = Field(
        default="hle",
        description="What the questions are of: hle, frames, simpleqa, custom, or an installed package's.",
    )
    runs_dir: Path = Field(default=Path("runs"), description="Folder that holds one folder a run.")
    run_id: str | None = Field(
        default=None,
        description="The run's name and folder; one that exists is resumed. Empty: a new name from the UTC time.",
    )

    protocol: Protocol | None = Field(
        default=None, description="How answers are graded; empty: as the benchmark is. hle: hle or toolorchestra."
    )
    epochs: PositiveInt = Field(default=1, description="How often each question is asked.")
    limit: PositiveInt | None = Field(default=None, description="Ask only the first N of the selected questions.")
    ids: str | None = Field(
        default=None,
        description="Only these questions: a file with an id a line, or ids separated by commas.",
    )
    shuffle: int | None = Field(
        default=None, description="Seed of a shuffle before LIMIT; empty keeps the file's order."
    )
    text_only: bool = Field(default=False, description="Leave out questions with an image.")
    category: str | None = Field(default=None, description="Only questions of this category.")
    answer_type: str | None = Field(default=None, description="Only questions of this answer_type.")
    verified_class: str | None = Field(
        default=None, description="Only questions of this verification class: certified, revised, uncertain (--class)."
    )
    class_field: str | None = Field(
        default=None, description="Field of a row with its verification class; empty: Verified_Classes and its kin."
    )
    class_file: Path | None = Field(
        default=None, description="jsonl of id and class, for a dataset without such a field."
    )
    image_questions: Literal["skip", "refuse", "text"] = Field(
        default="skip",
        description="Questions with an image when no answer expert sees: skip, refuse the run, or ask their text only.",
    )

    concurrency: PositiveInt = Field(default=64, description="Tasks in flight at once.")
    ramp_ms: NonNegativeFloat = Field(
        default=1.5,
        description="Between the starts of the first tasks, ms: hundreds started at once would go on in lockstep.",
    )
    max_rounds: PositiveInt = Field(default=50, description="Turns of the orchestrator before a task ends unanswered.")
    task_timeout_s: PositiveFloat = Field(
        default=7200.0,
        description="Active seconds before a task ends with time_limit; a resume goes on counting.",
    )
    max_tool_failures: PositiveInt = Field(
        default=5,
        description="Infrastructure failures of tools in a row after which a task ends as an error.",
    )
    auth_failures: PositiveInt = Field(
        default=5, description="Refused keys in a row of one provider after which the run stops."
    )
    grace_s: NonNegativeFloat = Field(
        default=20.0, description="After SIGINT or SIGTERM, seconds that turns in flight get to finish."
    )
    budget: PositiveFloat | None = Field(
        default=None, description="USD: take no further task once spent plus the estimate in flight reach it."
    )
    stop_at_half_width: PositiveFloat | None = Field(
        default=None,
        description="Percent points: take no further task once half the 95% interval is so small. Needs SHUFFLE.",
    )
    retry_errors: bool = Field(
        default=False,
        description="On a resume run only the tasks that ended in an error, and take no new one.",
    )

    prompts_dir: Path | None = Field(
        default=None, description="Folder whose files replace the built-in prompts of the same name."
    )
    tools_file: Path | None = Field(
        default=None,
        description="Tool descriptions in place of the built-in tools.json (ToolOrchestra's form).",
    )
    tool_model_aliases: dict[str, str] = Field(
        default_factory=dict,
        description='JSON object of names that TOOLS_FILE uses and the alias each means: {"gpt-5": "answer-1"}.',
    )
    orchestrator_context_tokens: PositiveInt = Field(
        default=27_000, description="Tokens of problem and knowledge in an orchestrator turn."
    )
    code_context_tokens: PositiveInt = Field(
        default=12_000, description="Of these, tokens of code with its output and of attempts."
    )
    attempt_context_tokens: PositiveInt = Field(default=8_000, description="Of these, tokens of attempts.")
    context_cut_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="A full context is cut from the left to this share of its limit: later turns share a prefix.",
    )
    answer_max_words: PositiveInt = Field(default=500, description="A longer extracted answer counts as no answer.")
    orchestrator_max_tokens: PositiveInt = Field(
        default=4096, description="Most tokens of one orchestrator turn, its thinking included."
    )
    orchestrator_temperature: float | None = Field(
        default=None, description="Sampling temperature of the orchestrator; empty: the server's own default."
    )

    expert_form: Literal["prompt", "structured"] = Field(
        default="prompt",
        description="How queries and answers get their form: by the prompt alone, or held to it by the server too.",
    )
    query_max_tokens: PositiveInt | None = Field(
        default=None,
        description="Most tokens of an expert that writes a query; empty: the server's own limit.",
    )
    program_max_tokens: PositiveInt | None = Field(
        default=None,
        description="Most tokens of an expert that writes a program; empty: the server's own limit.",
    )
    answer_max_tokens: PositiveInt | None = Field(
        default=None, description="Most tokens of an expert that answers; empty: the server's own limit."
    )
    expert_temperature: float | None = Field(
        default=None, description="Sampling temperature of experts; empty: each server's own default."
    )

    retrieval_url: Address = Field(default="http://127.0.0.1:1401", description="Address of the retrieval service.")
    retrieval_topk: PositiveInt = Field(default=10, description="Documents asked of a search.")
    screen_search: bool = Field(
        default=True, description="Send searches a fingerprint of the question, by which leaked pages are left out."
    )
    retrieval_timeout_s: PositiveFloat = Field(default=120.0, description="Longest wait for one search.")
    retrieval_attempts: PositiveInt = Field(default=3, description="Attempts of one search before it fails.")
    sandbox_url: Address = Field(default="http://127.0.0.1:1402", description="Address of the sandbox.")
    sandbox_timeout_s: PositiveFloat = Field(default=60.0, description="Seconds that a program may run.")
    sandbox_wait_s: PositiveFloat = Field(
        default=600.0,
        description="Longest wait for the sandbox, its queue included, beyond the program's own time.",
    )
    sandbox_attempts: PositiveInt = Field(default=3, description="Attempts of one execution before it fails.")
    connect_timeout_s: PositiveFloat = Field(default=10.0, description="Longest wait for a service's connection.")

    log_level: str = Field(
        default="PROFILE",
        description="Least level in events.jsonl; analysis needs PROFILE. Or DEBUG, USER_JUDGE, INFO, WARNING, ERROR.",
    )
    progress: Literal["auto", "live", "lines"] = Field(
        default="auto", description="Live bar or lines; auto: the bar on a terminal."
    )
    heartbeat_s: PositiveFloat = Field(
        default=30.0, description="Seconds without a finished task before a heartbeat line."
    )
    trouble_in_row: PositiveInt = Field(
        default=20,
        description="Invalid turns, failed expert calls or failed judgements in a row that the log warns of.",
    )
    trouble_stops: bool = Field(default=False, description="Whether so many in a row stop the run.")
    monitor: bool = Field(default=False, description="Write monitor.out in the run's folder.")
    monitor_interval_s: PositiveFloat = Field(default=60.0, description="Seconds between lines of monitor.out.")
    sample_interval_s: NonNegativeFloat = Field(
        default=1.0, description="Seconds between samples of vLLM's and retrieval's /metrics; 0: none."
    )
    check: bool = Field(default=True, description="Run `podium-eval check` before the run.")
    check_timeout_s: PositiveFloat = Field(default=60.0, description="Longest wait for each item of the check.")
    min_free_mb: NonNegativeInt = Field(default=500, description="Free disk that the check asks for, MB.")

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        name = value.strip().upper()
        if name not in LEVELS:
            raise ValueError(f"{value!r} is no level; use one of {', '.join(LEVELS)}")
        return name

    @field_validator("run_id")
    @classmethod
    def _run_id(cls, value: str | None) -> str | None:
        if value is None:
            return None
        name = value.strip()
        if not name or name in {".", ".."} or "/" in name or "\0" in name or len(name.encode()) > 128:
            raise ValueError("is the name of a folder: no '/', at most 128 bytes")
        return name
