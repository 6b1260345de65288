"""Runs the exam: questions, the episode loop, its tools and experts, the judge, the log, the runner."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podium_eval.commands.evaluate import evaluate as evaluate


def __getattr__(name: str) -> Any:
    """evaluate, imported when it is asked for: commands start without it."""
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from podium_eval.commands.evaluate import evaluate

    return evaluate
