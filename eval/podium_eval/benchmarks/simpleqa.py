"""SimpleQA (Wei et al. 2024, arXiv:2411.04368): short questions of fact with one answer.

The dataset is simple_qa_test_set.csv of openai/simple-evals. A judge grades correct, incorrect or not attempted. The
measure is the harmonic mean of two shares: correct of all, and correct of those attempted.
"""

import ast
from collections.abc import Mapping
from typing import Any, Final, cast

from podium_contracts.names import NOT_ATTEMPTED

from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.dataset.fields import Fields
from podium_eval.dataset.image import type_name
from podium_eval.grading.worded import WordedProtocol

PROTOCOL: Final = WordedProtocol(
    "simpleqa",
    {"CORRECT": "correct", "INCORRECT": "incorrect", "NOT_ATTEMPTED": NOT_ATTEMPTED},
    judge_prompt="judge_simpleqa.md",
    short={"A": "CORRECT", "B": "INCORRECT", "C": "NOT_ATTEMPTED"},
)


def _with_metadata(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """`metadata` is a Python dict as text, with topic and answer_type (and the sources, which stay in the file)."""
    metadata = row.get("metadata")
    if metadata in (None, ""):
        return row
    if isinstance(metadata, str):
        try:
            metadata = ast.literal_eval(metadata)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError("'metadata' must be a dict as text, such as {'topic': 'Art'}; it cannot be read") from None
    if not isinstance(metadata, Mapping):
        raise ValueError(f"'metadata' must be a dict as text, it is {type_name(metadata)}")
    given = cast("Mapping[str, Any]", metadata)
    return {**row, **{name: given[name] for name in ("topic", "answer_type") if name in given}}


SIMPLEQA: Final = Benchmark(
    name="simpleqa",
    title="SimpleQA",
    source="arXiv:2411.04368",
    protocols=(PROTOCOL,),
    fields=Fields(
        id_needed=False,
        question=("problem",),
        answer=("answer",),
        texts={"answer_type": "answer_type", "category": "topic"},
        unread=frozenset({"urls"}),
        prepare=_with_metadata,
        prepared=frozenset({"metadata"}),
    ),
    n_questions=4326,
    tools=("search", "answer"),
    corpus="the web or an encyclopedia",
    measure="f_measure",
)
