"""Humanity's Last Exam (Phan et al. 2025, arXiv:2501.14249): the default."""

from typing import Final

from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.grading.protocol import GRADING

HLE: Final = Benchmark(
    name="hle",
    title="Humanity's Last Exam",
    source="arXiv:2501.14249",
    protocols=(GRADING["hle"], GRADING["toolorchestra"]),
)
