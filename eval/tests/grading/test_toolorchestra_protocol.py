import pytest
from podium_eval.dataset.question import Question
from podium_eval.grading.toolorchestra import ToolOrchestraProtocol
from podium_eval.grading.verdict import Answer, UnreadableVerdict

PROTOCOL = ToolOrchestraProtocol()
QUESTION = Question(id="a", eid=0, question="Q", answer=" Straße ")


@pytest.mark.parametrize(("text", "settled"), [("STRASSE", True), (" straße", True), ("Strase", False), ("", False)])
def test_exact_match_is_case_folded_and_needs_no_judge(text: str, settled: bool):
    verdict = PROTOCOL.settled(QUESTION, Answer(text=text, extracted=text))
    assert (verdict is not None and verdict.correct) is settled


def test_over_the_word_limit_is_no_answer():
    assert PROTOCOL.extract(f"<answer>{'w ' * 500}</answer>", 500).extracted is not None
    assert PROTOCOL.extract(f"<answer>{'w ' * 501}</answer>", 500).extracted is None


def test_only_an_extracted_answer_counts():
    assert not PROTOCOL.answered(PROTOCOL.extract("It is 4.", 500))
    answer = PROTOCOL.extract(r"Thus \boxed{4}.", 500)
    assert PROTOCOL.answered(answer)
    assert PROTOCOL.response(answer) == "4"
    assert answer.confidence is None


@pytest.mark.parametrize(
    ("reply", "correct"),
    [
        ('{"correct": true}', True),
        ('{"correct": false}', False),
        ('```json\n{"correct": "True"}\n```', True),
        ("True", True),
        ("**false**.", False),
        ("They differ in sign.\nFalse", False),
    ],
)
def test_true_and_false_are_read(reply: str, correct: bool):
    verdict = PROTOCOL.read(reply, Answer(text="", extracted="4"))
    assert (verdict.correct, verdict.extracted_answer, verdict.confidence) == (correct, "4", None)


@pytest.mark.parametrize(
    "reply", ["", "not true", "true or false", '{"correct": null}', "yes, I agree", '{"other": true}']
)
def test_anything_else_is_refused(reply: str):
    with pytest.raises(UnreadableVerdict):
        PROTOCOL.read(reply, Answer(text="", extracted="4"))


def test_an_answer_in_hles_lines_is_read():
    lines = "Explanation: e\nAnswer: 4\nConfidence: 90%"
    assert PROTOCOL.extract(lines, 500).extracted is None, "a run of this protocol asks for tags"
    assert PROTOCOL.extract(lines, 500, asked="hle").extracted == "4"
    assert PROTOCOL.extract(f"{lines}\n<answer>5</answer>", 500, asked="hle").extracted == "5"
