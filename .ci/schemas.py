"""Writes what is generated from types: JSON Schemas of stats.json and events.jsonl, docs/events.md. `make schemas`."""

import json
from pathlib import Path

from podium_analysis.stats.compute import stats_schema
from podium_contracts.event_schema import events_schema, field_tables

ROOT = Path(__file__).resolve().parent.parent


def files() -> dict[Path, str]:
    """Path -> what belongs there."""
    return {
        ROOT / "analysis/podium_analysis/stats_schema.json": json.dumps(stats_schema(), indent=1) + "\n",
        ROOT / "services/contracts/podium_contracts/events_schema.json": json.dumps(events_schema(), indent=1) + "\n",
        ROOT / "docs/events.md": field_tables(),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
