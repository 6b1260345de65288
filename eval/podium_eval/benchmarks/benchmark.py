"""What sets one benchmark apart from another. A benchmark is one module with one Benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from podium_eval.dataset.fields import Fields
from podium_eval.errors import ConfigError
from podium_eval.grading.protocol import GradingProtocol

Measure = Literal["accuracy", "f_measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """name: as BENCHMARK gives it, and as the entry point. protocols: the first one grades where PROTOCOL is empty."""

    name: str
    title: str
    source: str
    """Its publication."""
    protocols: Sequence[GradingProtocol]
    fields: Fields = field(default_factory=Fields)
    n_questions: int | None = None
    """Of the published dataset; a run of fewer names that in its check."""
    tools: tuple[str, ...] = ()
    """Tools that it is meant for. Without TOOLS those of packages among them are offered too."""
    corpus: str = ""
    """What the search index should hold."""
    measure: Measure = "accuracy"
    """What it is ranked by. f_measure: of correct, incorrect and not attempted."""
    kinds: str | None = None
    """What a question's kinds are called, by which the score is reported too."""

    def grading(self, protocol: str | None) -> GradingProtocol:
        """The protocol of that name, the benchmark's own for None.

        Raises:
            ConfigError: it is not graded by that one.
        """
        for one in self.protocols:
            if protocol in (None, one.name):
                return one
        known = ", ".join(one.name for one in self.protocols)
        raise ConfigError([f"PROTOCOL={protocol}: BENCHMARK={self.name} is graded by {known}; leave PROTOCOL empty"])

    def describe(self) -> Mapping[str, Any]:
        """For run.json: what the analysis reports by."""
        return {"name": self.name, "title": self.title, "measure": self.measure, "kinds": self.kinds}

    def missing(self, offered: Sequence[str]) -> list[str]:
        """Tools that it is meant for and that a run does not offer."""
        return [tool for tool in self.tools if tool not in offered]
