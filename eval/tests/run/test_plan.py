"""What a run asks, from its settings and files."""

import json
from pathlib import Path
from typing import Any

import pytest
from podium_eval.errors import ConfigError
from podium_eval.run.plan import Plan, Tools, plan, refuse_images
from podium_eval.settings.read import Settings
from podium_eval.tools.specs import ToolSpecs

IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)


def planned(tmp_path: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> tuple[Plan, Settings]:
    path = tmp_path / "q.jsonl"
    rows = rows or [{"id": f"q{n}", "question": f"Question {n}?", "answer": str(n)} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Settings(_env_file=None, **{"dataset": str(path), **changes})  # type: ignore[call-arg]
    return plan(settings), settings


def test_each_question_in_each_epoch_in_order(tmp_path: Path) -> None:
    made, settings = planned(tmp_path, epochs=2, limit=2)
    assert [(task.question.id, task.epoch) for task in made.tasks(settings)] == [
        *(("q0", 1), ("q1", 1)),
        *(("q0", 2), ("q1", 2)),
    ]


def test_ids_are_a_list_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("q3\nq1\n")
    for ids in ("q3, q1", str(tmp_path / "ids")):
        made, settings = planned(tmp_path, ids=ids)
        assert {task.question.id for task in made.tasks(settings)} == {"q1", "q3"}


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "orchestrator.md").write_text("{problem} {knowlege}")
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, dataset=str(tmp_path / "none.jsonl"), prompts_dir=tmp_path / "prompts")
    told = "\n".join(caught.value.problems)
    assert "none.jsonl" in told
    assert "knowlege" in told


def test_no_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATASET is not set"):
        planned(tmp_path, dataset=None)


@pytest.mark.parametrize("wanted", ["refuse", "skip"])
def test_images_that_nobody_sees_are_refused_where_asked(tmp_path: Path, wanted: str) -> None:
    rows = [{"id": "i", "question": "What is shown?", "answer": "a dot", "image": IMAGE}]
    made, settings = planned(tmp_path, rows, image_questions=wanted)
    tools = Tools(ToolSpecs((), {}), None)
    if wanted == "refuse":
        with pytest.raises(ConfigError, match=r"1 questions have an image .* i"):
            refuse_images(made.tasks(settings), tools, settings)
    else:
        refuse_images(made.tasks(settings), tools, settings)
        assert tools.of(made.tasks(settings)[0]) is None
