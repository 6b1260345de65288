from pathlib import Path

import pytest
from podium_contracts.names import PROTOCOLS
from podium_eval.grading.grader import answer_instructions, judge_template
from podium_eval.prompts.judge_prompt import Template
from podium_eval.prompts.prompt_file import PromptError


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_built_in_prompts_fill(protocol: str):
    template = judge_template(protocol)  # type: ignore[arg-type]
    filled = template.fill(question="<Q>", response="<R>", answer="<A>")
    assert filled.index("<Q>") < filled.index("<R>") or filled.index("<Q>") < filled.index("<A>")
    assert "{question}" not in filled
    assert len(template.sha256) == 64


def test_a_slots_name_inside_a_question_is_left_alone():
    template = Template("{question}|{response}|{answer}")
    assert template.fill(question="{answer}", response="{question}", answer="secret") == "{answer}|{question}|secret"


def test_a_mounted_prompt_replaces_text_and_hash(tmp_path: Path):
    assert judge_template("hle", tmp_path) == judge_template("hle")
    (tmp_path / "judge_hle.md").write_text("mine {question} {response} {answer}")
    (tmp_path / "judge_hle_answer.md").write_text("mine too\n")
    assert judge_template("hle", tmp_path).text.startswith("mine")
    assert judge_template("hle", tmp_path).sha256 != judge_template("hle").sha256
    assert answer_instructions("hle", tmp_path) == "mine too"
    assert judge_template("toolorchestra", tmp_path) == judge_template("toolorchestra")


def test_a_prompt_that_would_grade_blindly_is_refused(tmp_path: Path):
    (tmp_path / "judge_hle.md").write_text("Is {response} right?")
    with pytest.raises(PromptError, match=r"judge_hle.md: lacks the slot\(s\) \{question\}, \{answer\}"):
        judge_template("hle", tmp_path)
    (tmp_path / "judge_hle.md").write_bytes(b"\xff")
    with pytest.raises(PromptError, match=r"judge_hle.md"):
        judge_template("hle", tmp_path)


def test_instructions_ask_for_what_each_protocol_reads():
    assert [word in answer_instructions("hle") for word in ("Explanation:", "Answer:", "Confidence:")] == [True] * 3
    assert "<answer>" in answer_instructions("toolorchestra")
    assert "onfidence" not in answer_instructions("toolorchestra")
