"""What vLLM is started with: one dataclass read from SERVE_* variables, standard library only.

The official image's Python is vLLM's own; nothing is installed into it, so pydantic is not used here.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

PREFIX: Final = "SERVE_"


class SettingError(ValueError):
    """A SERVE_ variable is unknown or holds a value that cannot be used; the message names it."""


def _text(value: str) -> str:
    return value


def _words(value: str) -> tuple[str, ...]:
    return tuple(shlex.split(value))


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return number

    return parse


def _share(value: str) -> float:
    number = float(value)
    if not 0 < number <= 1:
        raise ValueError("must be above 0 and at most 1")
    return number


def _switch(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("must be true or false")
    return words[value.lower()]


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in names:
            raise ValueError(f"must be {' or '.join(names)}")
        return value

    return parse


def _setting(default: Any, parse: Callable[[str], Any], description: str) -> Any:
    return field(default=default, metadata={"parse": parse, "description": description})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """One field a SERVE_ variable. None leaves the choice to vLLM."""

    model: str = _setting("", _text, "Model name on the hub or checkpoint folder that vLLM serves.")
    name: str = _setting("orchestrator", _text, "Name under which the model is served.")
    host: str = _setting("127.0.0.1", _text, "Address to listen on; 0.0.0.0 inside a container.")
    port: int = _setting(1406, _whole(1, 65535), "Port to listen on.")
    tool_parser: str = _setting("hermes", _text, "vLLM's tool call parser; none serves without tools.")
    tool_strict_level: str = _setting(
        "",
        _text,
        "parameter holds every tool call's arguments to their schema (vLLM 0.32 and later; 0.26 does not know it).",
    )
    reasoning_parser: str = _setting("", _text, "vLLM's reasoning parser, such as qwen3; empty for none.")
    chat_template: str = _setting("", _text, "File with a Jinja chat template; empty takes the model's own.")
    dtype: str = _setting("", _text, "Weights' type, such as bfloat16; empty takes the checkpoint's.")
    max_model_len: int | None = _setting(
        None, _whole(1, 10_000_000), "Longest prompt and answer together, in tokens; empty takes the model's own."
    )
    gpu_memory_utilization: float | None = _setting(
        None, _share, "Share of the GPU's memory that vLLM takes, such as 0.9; empty takes vLLM's default."
    )
    max_num_seqs: int | None = _setting(None, _whole(1, 100_000), "Most requests that run in one step.")
    max_batched_tokens: int | None = _setting(
        None, _whole(1, 10_000_000), "Most tokens of one step, the budget of chunked prefill."
    )
    kv_cache_dtype: str = _setting("", _text, "KV cache type, such as fp8; empty takes the model's.")
    prefix_caching: bool | None = _setting(
        None, _switch, "Keep the KV cache of shared prompt beginnings; empty takes vLLM's default."
    )
    async_scheduling: bool | None = _setting(
        None, _switch, "Prepare the next step while the GPU runs this one; empty takes vLLM's default."
    )
    scheduling: str = _setting(
        "",
        _one_of("fcfs", "priority"),
        "fcfs or priority; priority serves earlier tasks first when the eval asks so (ORCHESTRATOR_PRIORITY).",
    )
    enforce_eager: bool = _setting(False, _switch, "Start faster without compiling or capturing graphs.")
    api_servers: int | None = _setting(
        None, _whole(1, 64), "API server processes in front of the engine; only where vllm serve exists."
    )
    cpu_kv_cache_gb: int | None = _setting(
        None, _whole(1, 4096), "KV cache in GiB when vLLM runs on the CPU (VLLM_CPU_KVCACHE_SPACE)."
    )
    otlp_endpoint: str = _setting(
        "", _text, "OpenTelemetry collector (http://host:4318) that vLLM's own spans of a request go to; empty: none."
    )
    extra_args: tuple[str, ...] = _setting(
        (), _words, "Further vLLM flags, split as a shell would, such as --load-format dummy."
    )
    health_timeout_s: float = _setting(5.0, float, "Longest wait for an answer in the health check, in seconds.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ServeSettings":
        """Read every SERVE_ variable; an empty value is as if it were not set.

        Raises:
            SettingError: an unknown SERVE_ variable, a value that does not parse, or no SERVE_MODEL.
        """
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        values: dict[str, Any] = {}
        for variable in sorted(v for v in environment if v.startswith(PREFIX)):
            if variable not in known:
                raise SettingError(f"{variable} is no setting; there are {', '.join(sorted(known))}")
            raw = environment[variable].strip()
            if raw == "":
                continue
            setting = known[variable]
            try:
                values[setting.name] = setting.metadata["parse"](raw)
            except ValueError as error:
                raise SettingError(f"{variable}={raw!r}: {error}") from error
        settings = cls(**values)
        if not settings.model:
            raise SettingError("SERVE_MODEL is not set: name a model on the hub or a checkpoint folder")
        return settings
