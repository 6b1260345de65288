"""Which questions a run asked, by run.json."""

from collections.abc import Mapping
from typing import Any, cast

from podium_analysis.section import Count, Section


class DatasetFacts(Section, frozen=True):
    """What identifies a run's dataset; None where run.json does not tell. name: of the file, or on the hub."""

    name: str | None
    version: str | None
    sha256: str | None
    n: Count | None
    n_selected: Count | None


def dataset_facts(manifest: Mapping[str, Any]) -> DatasetFacts:
    """The section `dataset` of stats.json."""
    given: Any = manifest.get("dataset")
    raw: Mapping[str, Any] = cast("Mapping[str, Any]", given) if isinstance(given, dict) else {}

    def text(name: str) -> str | None:
        value: Any = raw.get(name)
        return value if isinstance(value, str) else None

    def count(name: str) -> int | None:
        value: Any = raw.get(name)
        return value if isinstance(value, int) and value >= 0 else None

    path = text("path")
    name = path if path is None or path.startswith("hub:") else path.rsplit("/", 1)[-1]
    return DatasetFacts(name, text("version"), text("sha256"), count("n"), count("n_selected"))
