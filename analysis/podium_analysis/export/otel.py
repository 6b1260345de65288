"""podium-analysis export-otel: a run's traces to a collector, from its log, as the run itself sends them."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from podium_contracts.otel.spans import Traces
from podium_contracts.records import task_key

from podium_analysis.load.find import run_folder
from podium_analysis.settings import SettingError, read_settings

if TYPE_CHECKING:
    from podium_contracts.otel.export import Sender

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_FAILURES: Final = 3
"""Batches in a row that the collector does not take, after which it counts as away."""


class Away(OSError):
    """The collector takes nothing."""


def export_otel(folder: Path, sender: "Sender", *, content: bool = False) -> int:
    """Send every task of the log, and return how many lines were no events. What is sent again is the same span.

    Raises:
        FileNotFoundError: no events.jsonl. NewerSchema: the log is newer than this code. Away: the collector is.
    """

    def record(task_id: str, epoch: int) -> Mapping[str, Any] | None:
        try:
            return orjson.loads((folder / "tasks" / f"{task_key(task_id, epoch)}.json").read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None

    traces, bad = Traces(record if content else None), 0
    with (folder / "events.jsonl").open("rb") as log:
        for line in log:
            try:
                event = orjson.loads(line)
                spans = traces.feed(event)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                bad += 1
                continue
            sender.send(spans)
            if sender.failed_in_row >= _FAILURES:
                raise Away(f"the collector took none of the last {_FAILURES} batches")
    sender.send(traces.close())
    sender.flush()
    return bad


def register(subparsers: Any) -> None:
    """Add `export-otel` to podium-analysis."""
    parser = subparsers.add_parser("export-otel", help="send a run's traces to an OpenTelemetry collector")
    parser.add_argument("run", metavar="RUN", help="a run's id or folder")
    parser.add_argument("--endpoint", help=f"such as http://127.0.0.1:4318; default: {ENDPOINT}")
    parser.add_argument("--content", action="store_true", help="questions, answers, programs and documents too")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0; 1 when the collector did not take all; 2 when there is nothing to send, or nowhere to send it."""
    try:
        endpoint = read_settings(otel_exporter_otlp_endpoint=args.endpoint).otel_exporter_otlp_endpoint
    except SettingError as error:
        return _failed(str(error))
    if not endpoint:
        return _failed(f"name the collector: --endpoint http://host:4318, or {ENDPOINT}")
    try:
        from podium_contracts.otel.export import Sender
    except ImportError as error:
        return _failed(f"{error}: pip install 'podium-analysis[otel]'")
    try:
        folder = run_folder(args.run)
    except (OSError, ValueError) as error:
        return _failed(str(error))
    sender = Sender(endpoint, folder.name, _warn)
    try:
        bad = export_otel(folder, sender, content=args.content)
    except Away as error:
        return _failed(f"{error}: {endpoint}", 1)
    except (OSError, ValueError) as error:
        return _failed(str(error))
    finally:
        sender.close()
    if bad:
        _warn(f"{bad} lines are no events; skipped")
    print(f"{sender.n_sent:,} spans sent to {endpoint}, {sender.n_dropped:,} dropped")
    return 1 if sender.n_dropped else 0


def _warn(text: str) -> None:
    print(f"podium-analysis export-otel: {text}", file=sys.stderr)


def _failed(text: str, status: int = 2) -> int:
    _warn(text)
    return status
