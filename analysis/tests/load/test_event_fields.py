"""A field added to an event's class, and nowhere else, is a column, a metric, in the schema and on the docs' page."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import podium_contracts
from podium_contracts.event_schema import events_schema

PROGRAM = """
import json, sys
from pathlib import Path
from podium_contracts.event_schema import events_schema, field_tables
from podium_contracts.events import ToolCall, event_to_json
from podium_analysis.load.run_data import load_run
from podium_analysis.metrics.definitions import METRICS
from podium_analysis.metrics.summaries import metric_statistics

folder = Path(sys.argv[1])
call = ToolCall(run_id="r", tool="search", status="ok", duration_ms=9.0, duration_total_ms=9.0, brewing_ms=4.5)
(folder / "events.jsonl").write_text(json.dumps(event_to_json(call) | {"mono_ms": 10.0}) + "\\n")
with load_run(folder) as run:
    metric = metric_statistics(run, METRICS, bins=2)["brewing_ms"]
(event,) = [e for e in events_schema()["oneOf"] if e["title"] == "tool_call"]
row = next(line for line in field_tables().splitlines() if "brewing_ms" in line)
print(json.dumps([metric.mean, event["properties"]["brewing_ms"], row]))
"""


def test_one_new_field_needs_one_place(tmp_path: Path) -> None:
    package = tmp_path / "podium_contracts"
    shutil.copytree(Path(podium_contracts.__file__).parent, package)
    source = package / "call_events.py"
    old = "    query_ms: float | None = None\n"
    assert source.read_text().count(old) == 1
    source.write_text(source.read_text().replace(old, f'{old}    brewing_ms: float | None = None\n    """Tea."""\n'))
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    mean, of_schema, row = json.loads(done.stdout)
    assert mean == 4.5
    assert of_schema == {"type": ["number", "null"], "description": "Tea."}
    assert row == "| `brewing_ms` | number or nothing | ms | Tea. |"


def test_every_line_of_a_log_fits_the_schema(generated_run: Path) -> None:
    validator = jsonschema_rs.Draft202012Validator(events_schema())
    stored = Path(__file__).parents[1] / "data" / "schema-1"
    for folder in (generated_run, stored):
        for line in (folder / "events.jsonl").read_bytes().splitlines():
            validator.validate(json.loads(line))
