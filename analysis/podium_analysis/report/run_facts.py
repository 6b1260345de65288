"""What a run was made of, out of run.json: what a reader looks for first, then everything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

FIRST: Final = (
    "protocol", "dataset.path", "dataset.sha256", "dataset.n_selected", "orchestrator.model", "judge.model", "epochs",
    "git_revision", "created_ts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunFacts:
    """first: the settings that differ from their defaults, and what identifies the run; rest: all else in run.json."""

    first: Sequence[tuple[str, str]]
    rest: Sequence[tuple[str, str]]
    note: str


def run_facts(manifest: Mapping[str, Any]) -> RunFacts:
    """Names are dotted paths into run.json, of settings the variables' names. Secrets are redacted by the eval."""
    lines = dict(_lines(manifest))
    changed: list[str] | None = manifest.get("changed_settings")
    settings = {name: f"settings.{name}" for name in changed or ()}
    first = [(name, lines[name]) for name in FIRST if name in lines]
    first += [
        (name.upper(), value)
        for name, path in settings.items()
        for found, value in lines.items()
        if found == path or found.startswith(f"{path}.")
    ]
    shown = {name for name in FIRST if name in lines}
    rest = [
        (name, value)
        for name, value in lines.items()
        if name not in shown
        and not name.startswith(("changed_settings", "secrets."))
        and not any(name == path or name.startswith(f"{path}.") for path in settings.values())
    ]
    note = "Settings that are not listed here have their default." if changed is not None else ""
    return RunFacts(first, rest, note or "This run.json does not record which settings have their default.")


def _lines(manifest: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in manifest.items():
        if isinstance(value, dict) and value:
            yield from _lines(cast(dict[str, Any], value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else orjson.dumps(value).decode()
