"""Prompts of a user's own: used as they are, or refused by name."""

from pathlib import Path

import pytest
from podium_eval.prompts.prompt_file import PromptError
from podium_eval.prompts.templates import load_prompts


def test_a_file_of_the_users_wins_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "search.md").write_text("Find {problem} beyond {knowledge}; \\boxed{answer} is text.")
    (tmp_path / "README.md").write_text("notes")
    prompts = load_prompts(tmp_path)
    assert prompts.fill("search.md", problem="P", knowledge="K") == "Find P beyond K; \\boxed{answer} is text."
    assert prompts.texts["answer.md"] == load_prompts().texts["answer.md"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("serch.md", "search.md"),
        ("answers.md", "answer.md"),
        ("judge_hel.md", "judge_hle.md"),
        ("tool.json", "tools.json"),
    ],
)
def test_a_misspelt_file_is_refused(name: str, meant: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{problem}")
    with pytest.raises(PromptError, match=f"{name}.*did you mean {meant}"):
        load_prompts(tmp_path)


@pytest.mark.parametrize("slot", ["knowlege", "problems", "knowledge_"])
def test_a_misspelt_slot_is_refused(slot: str, tmp_path: Path) -> None:
    (tmp_path / "search.md").write_text(f"{{problem}} {{{slot}}}")
    with pytest.raises(PromptError, match=f"{{{slot}}} is no slot; did you mean"):
        load_prompts(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="PROMPTS_DIR="):
        load_prompts(tmp_path / "gone")
