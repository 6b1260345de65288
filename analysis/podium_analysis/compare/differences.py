"""What two run.json differ in: what their scores measure, models, prompts, versions, and every setting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from podium_analysis.scoring.benchmark.score import benchmark_of

NAMES_ITSELF: Final = frozenset({"run_id"})
"""Settings that differ between any two runs and are not compared."""
MASKS: Final = ("**********", "[redacted]")
NOT_SET: Final = "not set"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that differs between the runs. refuses: their scores do not measure the same thing."""

    what: str
    a: str
    b: str
    refuses: bool


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting by its variable's name and its value in each run, as text."""

    name: str
    values: Sequence[str]


def mismatches(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Mismatch]:
    """What differs between two run.json beside the settings, the gravest first."""
    found: list[Mismatch] = []

    def check(what: str, left: Any, right: Any, refuses: bool = False) -> None:
        if left != right:
            found.append(Mismatch(what, _short(left), _short(right), refuses))

    check("benchmark", benchmark_of(a)["name"], benchmark_of(b)["name"], refuses=True)
    check("protocol", a.get("protocol"), b.get("protocol"), refuses=True)
    dataset_a, dataset_b = _mapping(a.get("dataset")), _mapping(b.get("dataset"))
    check("dataset sha256", dataset_a.get("sha256"), dataset_b.get("sha256"), refuses=True)
    check("dataset version", dataset_a.get("version"), dataset_b.get("version"))
    check("judge", _model(a.get("judge")), _model(b.get("judge")))
    prompts_a, prompts_b = _mapping(a.get("prompts")), _mapping(b.get("prompts"))
    for name in sorted({*prompts_a, *prompts_b}):
        check(f"prompt {name}", prompts_a.get(name), prompts_b.get(name))
    check("orchestrator", _model(a.get("orchestrator")), _model(b.get("orchestrator")))
    experts_a, experts_b = _mapping(a.get("experts")), _mapping(b.get("experts"))
    for alias in sorted({*experts_a, *experts_b}):
        check(f"expert {alias}", _model(experts_a.get(alias)), _model(experts_b.get(alias)))
    check("epochs", a.get("epochs"), b.get("epochs"))
    check("tasks selected", dataset_a.get("n_selected"), dataset_b.get("n_selected"))
    versions_a, versions_b = _mapping(a.get("versions")), _mapping(b.get("versions"))
    for name in sorted({*versions_a, *versions_b}):
        check(f"version of {name}", versions_a.get(name), versions_b.get(name))
    check("git revision", a.get("git_revision"), b.get("git_revision"))
    return found


def setting_rows(manifests: Sequence[Mapping[str, Any]]) -> list[SettingRow]:
    """Every setting that is not the same in all runs. A secret shows whether it is that of the first run."""
    settings = [dict(_flat(_mapping(manifest.get("settings")))) for manifest in manifests]
    secrets = [_mapping(manifest.get("secrets")) for manifest in manifests]
    rows: list[SettingRow] = []
    for name in sorted({name for one in settings for name in one} - NAMES_ITSELF):
        values = [one.get(name) for one in settings]
        if any(value in MASKS for value in values):
            marks = [one.get(name) for one in secrets]
            shown = [_secret(value, mark, values[0], marks[0]) for value, mark in zip(values, marks, strict=True)]
        else:
            shown = [_text(value) for value in values]
        if len(set(shown)) > 1:
            rows.append(SettingRow(name.upper(), shown))
    return rows


def _secret(value: object, mark: object, first: object, first_mark: object) -> str:
    """Text shown for a secret; its mark in run.json is no more than a few bits of a slow hash."""
    if value is None or first is None:
        return NOT_SET if value is None else "set"
    if mark is None or first_mark is None:
        return "set"
    return "set" if mark == first_mark else "set, another value"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(cast(dict[str, Any], value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: object) -> str:
    if value is None:
        return NOT_SET
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _model(value: Any) -> Any:
    """Provider and model of an entry of run.json; addresses are left out: they do not change answers."""
    entry = _mapping(value)
    if not entry:
        return value
    return "/".join(str(entry[name]) for name in ("provider", "model") if entry.get(name))


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 48 else f"{text[:16]}…"
