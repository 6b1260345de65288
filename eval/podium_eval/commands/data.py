"""`podium-eval data check|subset|describe`: look at a dataset before money is spent on it.

Exit status: 0 fine; 1 the dataset has problems (each printed); 2 it cannot be read, or the command makes no sense.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from podium_contracts.text.surrogates import written_out
from rich.console import Console
from rich.markup import escape

from podium_eval.benchmarks.choose import choose
from podium_eval.dataset.hub import scan_dataset
from podium_eval.dataset.load import Scan
from podium_eval.dataset.question import Question
from podium_eval.dataset.selection import DatasetError, Selection, read_ids, select
from podium_eval.dataset.subset import refuse_output, write_subset
from podium_eval.dataset.verification import classified
from podium_eval.settings.run import HubSettings


def main(argv: Sequence[str], *, dataset: str | None, hub: HubSettings, benchmark: str = "hle") -> int:
    """Run one subcommand; `dataset` and `benchmark` are the settings of these names, for when none is given.

    Raises:
        ConfigError: there is no such benchmark.
    """
    args = _parser(dataset, benchmark).parse_args(argv)
    if args.dataset is None:
        print("podium-eval data: name a dataset, or set DATASET", file=sys.stderr)
        return 2
    fields = choose(args.benchmark).fields
    try:
        # Silent where standard error is no terminal.
        with Console(stderr=True).status(f"reading {escape(args.dataset)}"):
            scanned, files = scan_dataset(args.dataset, hub, fields)
        match args.command:
            case "check":
                return _check(scanned)
            case "describe":
                return _describe(scanned, _selection(args), as_json=args.json)
            case _:
                return _subset(scanned, files, _selection(args), Path(args.output), force=args.force)
    except (DatasetError, OSError) as error:
        print(written_out(f"podium-eval data: {error}"), file=sys.stderr)
        return 2


def summary(questions: Sequence[Question]) -> dict[str, Any]:
    """Counts of what a selection holds. Lengths are characters of the question's text."""
    lengths = [len(q.question) for q in questions]
    return {
        "n": len(questions),
        "n_with_image": sum(q.image is not None for q in questions),
        "answer_type": _counts(q.answer_type for q in questions),
        "category": _counts(q.category for q in questions),
        "verified_class": _counts(q.verified_class for q in questions),
        "question_chars": {"min": min(lengths), "median": median(lengths), "max": max(lengths)},
    }


def _parser(dataset: str | None, benchmark: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="podium-eval data", description="Look at a dataset in a benchmark's fields.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="every problem by line, and a summary")
    describe = commands.add_parser("describe", help="counts by category and answer type, lengths, images")
    subset = commands.add_parser("subset", help="write a part of a dataset, rows as they stand, canary included")
    for command in (check, describe, subset):
        command.add_argument(
            "dataset",
            nargs="?",
            default=dataset,
            help="jsonl, Parquet, CSV, TSV or a hub dataset as owner/name; else DATASET",
        )
        command.add_argument("--benchmark", default=benchmark, help="whose fields it has (%(default)s; BENCHMARK)")
    for command in (describe, subset):
        command.add_argument("-n", "--limit", type=int, metavar="N", help="only the first N")
        command.add_argument("--shuffle", type=int, metavar="SEED", help="shuffle before the limit")
        command.add_argument("--ids", type=Path, metavar="FILE", help="only the ids of this file, one a line")
        command.add_argument("--category", action="append", default=[], help="only this category; repeatable")
        command.add_argument("--answer-type", action="append", default=[], help="only this answer type; repeatable")
        command.add_argument("--class", dest="classes", action="append", default=[], help="only this class; repeatable")
        command.add_argument("--class-field", help="field with the verification class (CLASS_FIELD)")
        command.add_argument("--class-file", type=Path, metavar="FILE", help="jsonl of id and class (CLASS_FILE)")
        command.add_argument("--text-only", action="store_true", help="leave out questions with an image")
    describe.add_argument("--json", action="store_true", help="one JSON object")
    subset.add_argument("-o", "--output", required=True, metavar="FILE", help=".jsonl or .parquet")
    subset.add_argument("--force", action="store_true", help="replace FILE")
    return parser


def _selection(args: argparse.Namespace) -> Selection:
    return Selection(
        text_only=args.text_only,
        categories=tuple(args.category),
        answer_types=tuple(args.answer_type),
        verified_classes=tuple(args.classes),
        class_field=args.class_field,
        class_file=args.class_file,
        ids=None if args.ids is None else read_ids(args.ids),
        shuffle_seed=args.shuffle,
        limit=args.limit,
    )


def _check(scanned: Scan) -> int:
    for problem in scanned.problems:
        _say(problem)
    for warning in scanned.warnings:
        _say(f"{warning.where}: warning: {warning.message}")
    _say(f"{scanned.path}: {scanned.n_rows} rows, {len(scanned.questions)} good, {len(scanned.problems)} problem(s)")
    if scanned.warnings:
        _say(f"{len(scanned.warnings)} question(s) with an image that a model is likely to refuse")
    _say(f"sha256 {scanned.sha256}; canary in {scanned.n_canary} rows")
    return 1 if scanned.problems else 0


def _describe(scanned: Scan, selection: Selection, *, as_json: bool) -> int:
    _refuse_problems(scanned)
    about: dict[str, Any] = {
        "dataset": scanned.path,
        "sha256": scanned.sha256,
        "n_in_file": len(scanned.questions),
        "n_canary": scanned.n_canary,
        **summary(_selected(scanned, selection)),
    }
    if as_json:
        _say(json.dumps(about, indent=2, ensure_ascii=False))
        return 0
    for name, value in about.items():
        if isinstance(value, dict):
            _say(f"{name}:")
            for key, count in value.items():  # pyright: ignore[reportUnknownVariableType]
                _say(f"  {key}: {count}")
        else:
            _say(f"{name}: {value}")
    return 0


def _subset(scanned: Scan, files: Sequence[Path], selection: Selection, output: Path, *, force: bool) -> int:
    _refuse_problems(scanned)
    refuse_output(scanned, files, output, force=force)
    chosen = _selected(scanned, selection)
    notes = write_subset(scanned, files, [q.eid for q in chosen], output)
    _say(f"{output}: {len(chosen)} of {len(scanned.questions)} questions, rows as they stand")
    for note in notes:
        _say(note)
    _say(f"canary kept: {scanned.canary}" if scanned.canary else "the dataset carries no canary")
    return 0


def _selected(scanned: Scan, selection: Selection) -> tuple[Question, ...]:
    questions = classified(scanned.questions, selection.class_field, selection.class_file)
    return select(questions, selection, source=scanned.path)


def _say(text: object) -> None:
    print(written_out(str(text)))


def _refuse_problems(scanned: Scan) -> None:
    if scanned.problems:
        raise DatasetError(
            f"{scanned.path}: {len(scanned.problems)} problem(s), the first at {scanned.problems[0]}; "
            "podium-eval data check lists them all"
        )


def _counts(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter("(none)" if value is None else value for value in values).most_common())
