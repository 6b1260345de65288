"""What a task's end says of it, and that a tool's parts are fields of its event."""

from typing import get_type_hints

from podium_contracts.events import ToolCall
from podium_contracts.records import TaskRecord
from podium_eval.episode.task import task_complete
from podium_eval.tools.tool import Parts


def test_the_end_of_a_task_says_what_its_question_is() -> None:
    record = TaskRecord(
        run_id="r", key="k", task_id="a", eid=3, epoch=2, question="?", gold_answer="!", category="Math",
        subject="Knots", answer_type="exactMatch", has_image=True, status="done", ending="answered", correct=True,
        rounds=1, started_ts="", finished_ts="", duration_ms=5.0,
    )  # fmt: skip
    event = task_complete(record, "r", 4)
    assert (event.task_id, event.eid, event.epoch, event.segment) == ("a", 3, 2, 4)
    assert (event.category, event.subject, event.answer_type, event.has_image) == ("Math", "Knots", "exactMatch", True)


def test_each_tool_part_is_an_event_field() -> None:
    parts, fields = get_type_hints(Parts), get_type_hints(ToolCall)
    assert parts == {name: fields.get(name) for name in parts}
