"""Writes the JSON Schemas that are generated from types: of stats.json. `make schemas`; a test holds them."""

import json
from pathlib import Path

from podium_analysis.stats.compute import stats_schema

PACKAGE = Path(__file__).resolve().parent.parent / "analysis/podium_analysis"


def main() -> None:
    """Write them."""
    (PACKAGE / "stats_schema.json").write_text(json.dumps(stats_schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
