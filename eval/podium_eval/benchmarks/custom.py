"""Questions of one's own: any jsonl, Parquet, CSV or TSV with a question and an answer, graded as PROTOCOL says."""

from typing import Final

from podium_eval.benchmarks import frames, simpleqa
from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.dataset.fields import Fields
from podium_eval.grading.protocol import GRADING

CUSTOM: Final = Benchmark(
    name="custom",
    title="Custom questions",
    source="one's own",
    protocols=(GRADING["hle"], GRADING["toolorchestra"], frames.PROTOCOL, simpleqa.PROTOCOL),
    fields=Fields(
        id_needed=False,
        question=("question", "problem", "prompt"),
        answer=("answer", "target"),
        numbers=True,
        texts={"answer_type": "answer_type", "category": "category", "subject": "subject", "canary": "canary"},
    ),
)
