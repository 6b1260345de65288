"""Settings of the analysis, read once from the environment and .env by the command; an option overrides its setting.

msgspec and python-dotenv read them, not pydantic-settings as in the services: nothing else can be done while they are
imported, and that takes 0.01 s where pydantic-settings takes 0.1 s.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

FORMATS: Final = ("png", "svg", "pdf")
_LISTS: Final = frozenset({"analysis_formats"})


class SettingError(ValueError):
    """A value that a setting cannot take; the message names the setting."""


class AnalysisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `podium-analysis report` needs to know."""

    runs_dir: Annotated[Path, Meta(description="Folder of the run folders.")] = Path("runs")
    run_id: Annotated[
        str | None, Meta(description="The run to analyse; empty: the one whose log was written last.")
    ] = None
    analysis_bins: Annotated[
        int, Meta(ge=1, le=100, description="Bins of every histogram, linear and logarithmic.")
    ] = 10
    analysis_formats: Annotated[
        tuple[Literal["png", "svg", "pdf"], ...],
        Meta(min_length=1, description="File formats of the figures, of png, svg and pdf, separated by commas."),
    ] = ("png", "svg")
    analysis_memory_mb: Annotated[
        int,
        Meta(ge=128, description="Memory of the event table in MB; what is beyond is kept in a temporary folder."),
    ] = 512
    analysis_workers: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Processes that draw figures and threads that read; empty: one a core."),
    ] = None
    runs_volume: Annotated[
        str | None, Meta(description="Where compose keeps RUNS_DIR: the name of a volume, or a folder.")
    ] = None
    analysis_trace_events: Annotated[
        int,
        Meta(ge=0, description="Logs of more events get no trace.json by themselves: a viewer would not open it."),
    ] = 250_000
    otel_exporter_otlp_endpoint: Annotated[
        str | None, Meta(description="OpenTelemetry collector (OTLP over HTTP) that export-otel sends to.")
    ] = None


def read_settings(**given: object) -> AnalysisSettings:
    """Settings from options, then the environment, then ./.env.

    given: the options by the setting's name; None: not given.

    Raises:
        SettingError: a value cannot be used.
    """
    named = _from_file(Path(".env")) | os.environ
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(AnalysisSettings):
        name = field.encode_name.upper()
        value = given.get(field.name)
        value = named.get(name) if value is None else value
        if value is None or value == "":
            continue
        try:
            plain = _words(value) if field.name in _LISTS else value
            found[field.name] = msgspec.convert(plain, field.type, strict=False, dec_hook=_from_text)
        except msgspec.ValidationError as error:
            allowed = f"; it takes {', '.join(FORMATS)}, separated by commas" if name == "ANALYSIS_FORMATS" else ""
            raise SettingError(f"{name}: {error} (got {value!r}){allowed}") from error
    return AnalysisSettings(**found)


def _words(value: object) -> list[str]:
    return list(dict.fromkeys(part.strip().lower() for part in str(value).split(",") if part.strip()))


def _from_text(kind: Callable[[Any], Any], value: Any) -> Any:
    """Of a type that msgspec does not know: Path."""
    return kind(value)


def _from_file(path: Path) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return dotenv_values(path)
