"""How many of a run's tasks have ended, and how. Counts alone: memory must not grow with the tasks that are done."""

from dataclasses import dataclass, field

from podium_eval.run.folder import Saved


@dataclass(slots=True)
class Endings:
    """Over all segments. total: tasks of the run. failed: id and error, by key, of tasks whose last end is an error."""

    total: int
    done: int = 0
    skipped: int = 0
    correct: int = 0
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, end: Saved) -> None:
        """A task's end; one that had ended in an error before may end again."""
        self.failed.pop(end.key, None)
        if end.status == "error":
            self.failed[end.key] = f"{end.task_id} ({end.error_type})"
        elif end.status == "skipped":
            self.skipped += 1
        else:
            self.done += 1
            self.correct += end.correct is True

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return self.total - self.done - self.skipped - len(self.failed)
