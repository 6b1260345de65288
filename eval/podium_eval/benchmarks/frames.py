"""FRAMES (Krishna et al. 2024, arXiv:2409.12941): questions whose answer takes 2 to 15 articles of Wikipedia.

The dataset is google/frames-benchmark (test.tsv). A judge decides whether the known answer is in the response; the
score is the share of TRUE, over all and for each reasoning type, of which a question may have several.
"""

from collections.abc import Mapping
from typing import Any, Final

from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.dataset.fields import Fields
from podium_eval.grading.worded import WordedProtocol

PROTOCOL: Final = WordedProtocol("frames", {"TRUE": "correct", "FALSE": "incorrect"}, judge_prompt="judge_frames.md")
_INDEX: Final = ("Unnamed: 0", "")
"""The column without a name: what pandas calls it, and what it is called in the file."""
_LINKS: Final = frozenset({"wiki_links", "wikipedia_link_11+", *(f"wikipedia_link_{n}" for n in range(1, 11))})
"""Where the answer is found."""


def _numbered(row: Mapping[str, Any]) -> Mapping[str, Any]:
    number = next((row[name] for name in _INDEX if row.get(name) not in (None, "")), None)
    return row if number is None or "id" in row else {**row, "id": f"frames-{number}"}


FRAMES: Final = Benchmark(
    name="frames",
    title="FRAMES",
    source="arXiv:2409.12941",
    protocols=(PROTOCOL,),
    fields=Fields(
        id_needed=False,
        question=("Prompt",),
        answer=("Answer",),
        texts={},
        unread=_LINKS,
        kinds=("reasoning_types", " | "),
        prepare=_numbered,
        prepared=frozenset(_INDEX),
    ),
    n_questions=824,
    tools=("search", "enhance_reasoning", "answer"),
    corpus="English Wikipedia",
    kinds="reasoning type",
)
