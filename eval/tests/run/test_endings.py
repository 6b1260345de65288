from typing import Any

from podium_eval.run.folder import Endings, Saved


def end(key: str, status: Any, *, correct: bool | None = None, error: Any = None) -> Saved:
    return Saved(
        key=key,
        task_id=f"id of {key}",
        epoch=1,
        status=status,
        correct=correct,
        error_type=error,
        attempts=1,
        cost_usd=None,
        has_answer=False,
    )


def test_tasks_are_counted_by_their_last_end() -> None:
    endings = Endings(total=6)
    endings.add(end("a", "done", correct=True))
    endings.add(end("b", "done", correct=False))
    endings.add(end("c", "skipped"))
    endings.add(end("d", "error", error="timeout"))
    endings.add(end("e", "error", error="auth"))
    assert (endings.done, endings.correct, endings.skipped, endings.left) == (2, 1, 1, 1)
    assert list(endings.failed.values()) == ["id of d (timeout)", "id of e (auth)"]
    endings.add(end("d", "done", correct=True))
    endings.add(end("e", "error", error="timeout"))
    assert (endings.done, endings.correct, endings.left) == (3, 2, 1)
    assert endings.failed == {"e": "id of e (timeout)"}
