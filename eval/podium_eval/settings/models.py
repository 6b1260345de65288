"""The settings of models: who the experts, the judge and the orchestrator are, how they are reached, how patiently."""

import re
from pathlib import Path
from typing import Any, Final, Literal

from podium_contracts.names import ALIASES
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from podium_eval.settings.secrets import Key

_JUDGES: Final = re.compile(r",(?!\s*https?://)")
_EXPERT = "as provider/model, or vllm/model@http://host:port/v1[,http://…]. Empty: EXPERT_DEFAULT."


class ModelSettings(BaseSettings):
    """Every field is an environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    orchestrator_url: str = Field(
        default="http://127.0.0.1:1406/v1",
        description="Address of the orchestrator; several, separated by commas: a task stays with the one it began at.",
    )
    orchestrator_model: str = Field(default="orchestrator", description="Name under which the orchestrator is served.")
    orchestrator_provider: str = Field(
        default="vllm", description="Row of the provider table that tells the orchestrator's quirks and price."
    )
    orchestrator_api_key: Key | None = Field(
        default=None, description="Key that the orchestrator's server demands; empty: none is sent."
    )
    orchestrator_tool_choice: Literal["auto", "required"] = Field(
        default="auto", description="auto, or required: the server holds the orchestrator to a tool call."
    )
    orchestrator_order: Literal["adaptive", "depth_first", "server", "program"] = Field(
        default="adaptive",
        description="Which turn goes next: adaptive (what keeps prompts cached while that pays, else the server's own "
        "order), depth_first, server, or program (a router stands in between). See docs/serving.md.",
    )
    orchestrator_longest_wait_s: PositiveFloat = Field(
        default=300.0, description="After so long a turn goes, whatever the adaptive order says."
    )
    orchestrator_priority: bool = Field(
        default=False,
        description="Tell the server the order too; needs SERVE_SCHEDULING=priority.",
    )
    orchestrator_timing: Literal["auto", "server", "client"] = Field(
        default="auto",
        description="server: whole answers with vLLM's metrics; client: streamed; auto: streamed if those are missing.",
    )
    orchestrator_tokenizer: str | None = Field(
        default=None,
        description="Its tokenizer: a folder with tokenizer.json, or a model on the hub. Empty: SERVE_MODEL's.",
    )
    serve_model: str | None = Field(
        default=None,
        exclude=True,
        description="What vllm serves: its tokenizer counts the orchestrator's context, where its files are seen here.",
    )
    orchestrator_timeout_s: PositiveFloat = Field(
        default=1800.0, description="Longest wait for one orchestrator turn, the server's queue included."
    )
    orchestrator_concurrency: PositiveInt | None = Field(
        default=None, description="Most orchestrator turns at once; empty: CONCURRENCY."
    )

    judge: str | None = Field(
        default=None,
        description="The model that grades, as provider/model, like an expert; several by commas: their majority.",
    )
    judge_timeout_s: PositiveFloat = Field(default=300.0, description="Longest wait for one judgement.")

    expert_default: str | None = Field(
        default=None, description="What aliases without a variable of their own stand for. Empty: they are not offered."
    )
    expert_search_1: str | None = Field(default=None, description=f"Expert search-1, {_EXPERT}")
    expert_search_2: str | None = Field(default=None, description=f"Expert search-2, {_EXPERT}")
    expert_search_3: str | None = Field(default=None, description=f"Expert search-3, {_EXPERT}")
    expert_reasoner_1: str | None = Field(default=None, description=f"Expert reasoner-1, {_EXPERT}")
    expert_reasoner_2: str | None = Field(default=None, description=f"Expert reasoner-2, {_EXPERT}")
    expert_reasoner_3: str | None = Field(default=None, description=f"Expert reasoner-3, {_EXPERT}")
    expert_answer_1: str | None = Field(default=None, description=f"Expert answer-1, {_EXPERT}")
    expert_answer_2: str | None = Field(default=None, description=f"Expert answer-2, {_EXPERT}")
    expert_answer_3: str | None = Field(default=None, description=f"Expert answer-3, {_EXPERT}")
    expert_answer_4: str | None = Field(default=None, description=f"Expert answer-4, {_EXPERT}")
    expert_answer_math_1: str | None = Field(default=None, description=f"Expert answer-math-1, {_EXPERT}")
    expert_answer_math_2: str | None = Field(default=None, description=f"Expert answer-math-2, {_EXPERT}")
    expert_max_tokens: PositiveInt | None = Field(
        default=None,
        description="Most tokens of an expert's answer where nothing else limits it; empty: the server's limit.",
    )
    expert_timeout_s: PositiveFloat = Field(default=600.0, description="Longest wait for one answer of an expert.")

    expert_base_url: str | None = Field(
        default=None, description="Address of experts written vllm/model without one of their own."
    )
    expert_api_key: Key | None = Field(
        default=None, description="Key for servers of one's own (vllm/…); empty: none is sent."
    )
    expert_concurrency: PositiveInt | None = Field(
        default=None, description="Most calls at once to each server of one's own (vllm/…); empty: CONCURRENCY."
    )
    openai_base_url: str | None = Field(default=None, description="Another address for openai/… models.")
    openai_api_key: Key | None = Field(default=None, description="Key for openai/… models.")
    openai_concurrency: PositiveInt | None = Field(
        default=None, description="Most calls at once to OpenAI, where the adaptive limit starts; empty: CONCURRENCY."
    )
    together_base_url: str | None = Field(default=None, description="Another address for together/… models.")
    together_api_key: Key | None = Field(default=None, description="Key for together/… models.")
    together_concurrency: PositiveInt | None = Field(
        default=None, description="Most calls at once to Together, where the adaptive limit starts; empty: CONCURRENCY."
    )
    nebius_base_url: str | None = Field(default=None, description="Another address for nebius/… models.")
    nebius_api_key: Key | None = Field(default=None, description="Key for nebius/… models.")
    nebius_concurrency: PositiveInt | None = Field(
        default=None, description="Most calls at once to Nebius, where the adaptive limit starts; empty: CONCURRENCY."
    )
    added_keys: dict[str, Key] = Field(
        default_factory=dict,
        exclude=True,
        description="Filled by itself: <NAME>_API_KEY for providers that MODELS_FILE adds.",
    )
    added_values: dict[str, str] = Field(
        default_factory=dict,
        exclude=True,
        description="Filled by itself: <NAME>_BASE_URL and <NAME>_CONCURRENCY for providers that MODELS_FILE adds.",
    )

    models_file: Path | None = Field(
        default=None,
        description="TOML rows that add providers and change models' limits and quirks; see docs/providers.md.",
    )
    prices_file: Path | None = Field(
        default=None, description="TOML rows that add or replace prices; see docs/providers.md."
    )
    model_proxy: str | None = Field(
        default=None,
        description="HTTP proxy for providers on the internet; the environment's own proxies are not used.",
    )
    model_attempts: PositiveInt = Field(default=6, description="Attempts of one model call before it fails.")
    model_connect_timeout_s: PositiveFloat = Field(
        default=10.0, description="Longest wait for a connection to a model."
    )
    model_body_limit: PositiveInt = Field(
        default=16 << 20, description="Most bytes of one model's answer; a longer one is a bad_response."
    )
    retry_first_s: NonNegativeFloat = Field(
        default=0.5,
        description="Wait before the second attempt of a model call, doubled (and shaken) at each further one.",
    )
    retry_longest_s: NonNegativeFloat = Field(default=30.0, description="Longest such wait.")
    retry_after_longest_s: NonNegativeFloat = Field(
        default=300.0,
        description="A longer Retry-After of a provider is a lockout: announced with its time, and a check fails.",
    )
    lockout_longest_s: NonNegativeFloat = Field(
        default=21600.0, description="After so long a locked-out provider is asked again, whatever it said."
    )
    breaker_failures: PositiveInt = Field(
        default=5, description="Calls in a row without any answer after which an address is left alone for a while."
    )
    breaker_first_s: PositiveFloat = Field(
        default=1.0, description="Pause before one call tries such an address; doubles while it stays silent."
    )
    breaker_longest_s: PositiveFloat = Field(default=15.0, description="Longest such pause.")
    breaker_try_s: PositiveFloat = Field(
        default=15.0, description="How long one such try may take before another call tries too."
    )
    breaker_wait_s: PositiveFloat = Field(
        default=900.0,
        description="How long calls wait for a service that is down before they fail as connection errors.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The usual sources, and last the variables of providers that MODELS_FILE may add."""
        added = _AddedProviders(settings_cls, (dotenv_settings, env_settings))
        return init_settings, env_settings, dotenv_settings, file_secret_settings, added

    def expert(self, alias: str) -> str | None:
        """What an alias stands for: its own variable, else EXPERT_DEFAULT; None: it is not offered."""
        chosen: str | None = getattr(self, expert_variable(alias).lower())
        return chosen or self.expert_default

    @property
    def judges(self) -> tuple[str, ...]:
        """The models of JUDGE; a comma before a further address of one's own server parts no judges."""
        return tuple(part for name in _JUDGES.split(self.judge or "") if (part := name.strip()))

    def provider_value(self, provider: str, suffix: Literal["API_KEY", "BASE_URL", "CONCURRENCY"]) -> str | None:
        """A provider's variable by name, of ours or of an added one; the vllm row's begin with EXPERT."""
        name = provider_variable(provider, suffix)
        value: Any = getattr(self, name.lower(), None)
        if value is None:
            value = self.added_keys.get(name) or self.added_values.get(name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        return None if value is None or value == "" else str(value)


def expert_variable(alias: str) -> str:
    """answer-math-1 is set by EXPERT_ANSWER_MATH_1."""
    if alias not in ALIASES:
        raise ValueError(f"{alias!r} is none of {', '.join(ALIASES)}")
    return f"EXPERT_{alias.replace('-', '_').upper()}"


def provider_variable(provider: str, suffix: str) -> str:
    """together's key is TOGETHER_API_KEY; of vllm (whose own prefix is vLLM's) it is EXPERT_API_KEY."""
    prefix = "EXPERT" if provider == "vllm" else provider.replace("-", "_").upper()
    return f"{prefix}_{suffix}"


class _AddedProviders(PydanticBaseSettingsSource):
    """Variables ending in _API_KEY, _BASE_URL or _CONCURRENCY that belong to no field: for rows of MODELS_FILE."""

    def __init__(self, settings_cls: type[BaseSettings], sources: tuple[PydanticBaseSettingsSource, ...]) -> None:
        super().__init__(settings_cls)
        self._sources = sources

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        keys: dict[str, str] = {}
        values: dict[str, str] = {}
        for source in self._sources:
            variables: dict[str, str | None] = getattr(source, "env_vars", {})
            for name, value in variables.items():
                if not value or name.lower() in self.settings_cls.model_fields:
                    continue
                if name.upper().endswith("_API_KEY"):
                    keys[name.upper()] = value
                elif name.upper().endswith(("_BASE_URL", "_CONCURRENCY")):
                    values[name.upper()] = value
        return {"added_keys": keys, "added_values": values}
