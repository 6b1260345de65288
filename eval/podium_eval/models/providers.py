"""Providers and models as rows of one table: address, key variable, limits and quirks. Adding one is adding a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from podium_eval.errors import ConfigError
from podium_eval.settings.toml_rows import read_rows

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
SystemRole = Literal["system", "developer", "user"]
Streaming = Literal["free", "always", "never"]


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one model wants to be asked. A wrong value here is a refused request, so each row names its source."""

    max_tokens: MaxTokensField = "max_tokens"
    temperature: bool = True
    """False: the model refuses any but its default, so none is sent."""
    system: SystemRole = "system"
    """user: the server refuses a system message, so its text begins the user's."""
    tools: bool = True
    tool_choice: bool = True
    """False: `required` is refused, so `auto` is sent."""
    strict_tools: bool = False
    """function.strict is sent: the server then holds a tool call's arguments to their schema."""
    json_schema: bool = True
    """response_format json_schema is taken."""
    regex: bool = False
    """vLLM's structured_outputs.regex is taken."""
    vision: bool = False
    stream: Streaming = "free"
    stream_usage: bool = True
    """stream_options.include_usage is taken."""
    priority: bool = False
    """vLLM's `priority` is taken: refused unless it serves with --scheduling-policy priority."""
    tokenize: bool = False
    """The server has vLLM's /tokenize and gives max_model_len in /v1/models."""
    reasoning_effort: str | None = None
    """Sent as it is; None: the field is left out."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Sent as they are, such as {enable_thinking = false}; empty: the field is left out."""
    context_tokens: int | None = None
    """Prompt and answer together; None: asked of the server, else unknown and nothing is cut."""
    max_output_tokens: int | None = None
    tokenizer: str | None = None
    """Folder or tokenizer.json of the model, on this machine."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One row. base_url None: each expert names its own address."""

    name: str
    base_url: str | None
    key: bool
    """A key is demanded."""
    local: bool
    """A server of one's own: no proxy, a limit for each server rather than one for all."""
    quirks: Quirks
    hints: Mapping[str, str]
    """Hints by the beginning of a model's name, shown when the provider refuses it."""
    source: str


@dataclass(frozen=True, slots=True)
class _ModelRow:
    provider: str
    model: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """An expert as configured: `provider/model[@address[,address…]]`."""

    provider: str
    model: str
    addresses: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, variable: str) -> "ModelSpec":
        """Read the value of `variable`.

        Raises:
            ConfigError: it is of another form; the message names the variable.
        """
        name, _, rest = text.strip().partition("/")
        mark_at = min((place for mark in ("@http://", "@https://") if (place := rest.find(mark)) >= 0), default=-1)
        model, listed = (rest, "") if mark_at < 0 else (rest[:mark_at], rest[mark_at + 1 :])
        addresses = tuple(part.strip().rstrip("/") for part in listed.split(",") if part.strip())
        if not name or not model:
            raise ConfigError([f"{variable}={text!r} is not provider/model or vllm/model@http://host:port/v1"])
        for address in addresses:
            if not is_address(address):
                raise ConfigError([f"{variable}: {address!r} is not an address; each begins with http:// or https://"])
        return cls(name, model, addresses)


def is_address(text: str) -> bool:
    """Whether this is an http address with a host, and a port that there is."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # [::1 without its bracket, a port of letters or above 65,535
        return False


class ProviderTable:
    """The rows of providers.toml, then those of MODELS_FILE; where several fit a model, later ones win by field."""

    def __init__(self, providers: Mapping[str, Provider], models: Sequence[_ModelRow]) -> None:
        self._providers = dict(providers)
        self._models = tuple(models)

    @classmethod
    def load(cls, override: Path | None = None) -> "ProviderTable":
        """The package's table and the user's.

        Raises:
            ConfigError: with the file, the row and the field.
        """
        providers: dict[str, Provider] = {}
        models: list[_ModelRow] = []
        packaged = resources.files("podium_eval.models").joinpath("providers.toml")
        _read(packaged.read_text("utf-8"), "providers.toml", providers, models)
        if override is not None:
            try:
                text = override.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"MODELS_FILE={override} cannot be read: {error}"]) from error
            _read(text, f"MODELS_FILE={override}", providers, models)
        return cls(providers, models)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._providers)

    def provider(self, name: str) -> Provider | None:
        """The row of that name."""
        return self._providers.get(name)

    def quirks(self, provider: str, model: str) -> Quirks:
        """The provider's quirks with every fitting model row's changes, in the table's order."""
        quirks = self._providers[provider].quirks
        for row in self._models:
            if row.provider in (provider, "*") and fnmatchcase(model, row.model):
                quirks = replace(quirks, **row.changes)
        return quirks

    def hint(self, provider: str, model: str) -> str:
        """What to add to a refusal of this model's name; '' for nothing."""
        hints = self._providers[provider].hints
        return next((hint for start, hint in hints.items() if model.startswith(start)), "")


_CHOICES: dict[str, tuple[str, ...]] = {
    "max_tokens": get_args(MaxTokensField),
    "system": get_args(SystemRole),
    "stream": get_args(Streaming),
}
_TYPES: dict[str, type] = {
    **dict.fromkeys(("temperature", "tools", "tool_choice", "json_schema", "regex", "vision"), bool),
    **dict.fromkeys(("stream_usage", "tokenize", "priority", "strict_tools"), bool),
    **dict.fromkeys(("context_tokens", "max_output_tokens"), int),
    **dict.fromkeys(("reasoning_effort", "tokenizer"), str),
    "chat_template_kwargs": dict,
}
_QUIRK_NAMES = frozenset(field.name for field in fields(Quirks))


def _read(text: str, where: str, providers: dict[str, Provider], models: list[_ModelRow]) -> None:
    problems: list[str] = []
    for row in read_rows(text, where, ("provider", "model")):
        try:
            if row.table == "provider":
                provider = _provider(dict(row.fields), providers)
                providers[provider.name] = provider
            else:
                models.append(_model(dict(row.fields), providers))
        except ValueError as error:
            problems.append(f"{row.place}: {error}")
    if problems:
        raise ConfigError(problems)


def _provider(row: dict[str, Any], known: Mapping[str, Provider]) -> Provider:
    name = row.pop("name", None)
    if not isinstance(name, str) or not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError("name is letters, digits and dashes")
    before = known.get(name)
    base_url: Any = row.pop("base_url", before.base_url if before else None)
    hints: Any = row.pop("hints", dict(before.hints) if before else {})
    key: Any = row.pop("key", before.key if before else True)
    local: Any = row.pop("local", before.local if before else False)
    source: Any = row.pop("source", before.source if before else "")
    row.pop("date", None)
    if base_url is not None and not is_address(str(base_url)):
        raise ValueError(f"base_url = {base_url!r} is not an address")
    if not isinstance(hints, dict) or not all(isinstance(hint, str) for hint in cast("dict[str, Any]", hints).values()):
        raise ValueError("hints is a table of texts, by the beginning of a model's name")
    if not isinstance(key, bool) or not isinstance(local, bool):
        raise ValueError("key and local are true or false")
    quirks = replace(before.quirks if before else Quirks(), **_changes(row))
    return Provider(name, base_url, key, local, quirks, cast("dict[str, str]", hints), str(source))


def _model(row: dict[str, Any], known: Mapping[str, Provider]) -> _ModelRow:
    provider, model = row.pop("provider", None), row.pop("model", None)
    row.pop("date", None)
    row.pop("source", None)
    if provider != "*" and (not isinstance(provider, str) or provider not in known):
        raise ValueError(f"provider = {provider!r} is none of {', '.join(known)}")
    if not isinstance(model, str) or not model:
        raise ValueError("lacks model, a name or pattern (* and ?)")
    return _ModelRow(provider, model, _changes(row))


def _changes(row: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if name not in _QUIRK_NAMES:
            raise ValueError(f"{name} is no field; use {', '.join(sorted(_QUIRK_NAMES))}")
        choices = _CHOICES.get(name)
        if choices is not None and (isinstance(value, list | dict) or value not in choices):
            raise ValueError(f"{name} = {value!r} is none of {', '.join(choices)}")
        wanted = _TYPES.get(name)
        if wanted is not None and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
            raise ValueError(f"{name} = {value!r} is not of type {wanted.__name__}")
        if wanted is int and value < 1:
            raise ValueError(f"{name} = {value!r} is not above 0")
    return dict(row)
