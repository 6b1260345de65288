import pytest
from podium_eval.grading.hle import HleProtocol
from podium_eval.grading.verdict import Answer, UnreadableVerdict

HLE = HleProtocol()
SAID = Answer(text="t", extracted="4", confidence=70.0)
SILENT = Answer(text="t", extracted="4")
REPLY = '{"extracted_final_answer": "4", "reasoning": "same", "correct": "yes", "confidence": %s, "strict": true}'


def test_the_form_is_the_official_one():
    schema = HLE.form(None).json_schema
    assert schema is not None
    assert schema["required"] == ["extracted_final_answer", "reasoning", "correct", "confidence", "strict"]
    assert schema["properties"]["correct"]["enum"] == ["yes", "no"]
    assert schema["additionalProperties"] is False
    assert "maxLength" not in str(schema)
    assert HLE.form(300).json_schema["properties"]["reasoning"]["maxLength"] == 300  # type: ignore[index]


@pytest.mark.parametrize(
    ("judged", "answer", "confidence", "stated"),
    [
        ("85", SAID, 85.0, True),
        ("85", SILENT, 85.0, True),
        ("100", SILENT, 100.0, False),
        ("100", SAID, 100.0, True),
        ("null", SAID, 70.0, True),
        ("null", SILENT, 100.0, False),
        ('"60%"', SILENT, 60.0, True),
        ('"high"', SILENT, 100.0, False),
        ("250", SAID, 70.0, True),
        ("-5", SILENT, 100.0, False),
        ("true", SILENT, 100.0, False),
        ("NaN", SILENT, 100.0, False),
    ],
)
def test_confidence_falls_back_from_judge_to_answer_to_100(
    judged: str, answer: Answer, confidence: float, stated: bool
):
    got = HLE.read(REPLY % judged, answer)
    assert (got.correct, got.extracted_answer, got.reasoning) == (True, "4", "same")
    assert (got.confidence, got.confidence_stated) == (confidence, stated)


def test_a_reply_in_labelled_lines_is_read():
    reply = "extracted_final_answer: 5\nreasoning: differs from 4\ncorrect: no\nconfidence: 40%"
    got = HLE.read(reply, SILENT)
    assert (got.correct, got.extracted_answer, got.confidence) == (False, "5", 40.0)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I think it is correct.",
        '{"correct": "perhaps"}',
        "correct: yes\ncorrect: no",
        '{"extracted_final_answer": "4", "reasoning": "cut he',
        "The response is correct: yes indeed it is",
        '{"reasoning": "It is not correct: no", "confidence": 3}',
    ],
)
def test_a_reply_without_one_clear_verdict_is_refused(reply: str):
    with pytest.raises(UnreadableVerdict):
        HLE.read(reply, SAID)


def test_the_whole_response_is_judged_even_without_an_answer_line():
    answer = HLE.extract("<think>hm</think>It is four.", 500)
    assert (answer.text, answer.extracted, answer.confidence) == ("It is four.", None, None)
    assert HLE.answered(answer)
    assert HLE.response(answer) == "It is four."
    assert not HLE.answered(HLE.extract("<think>only this</think>  ", 500))


def test_the_answer_asked_for_is_extracted():
    answer = HLE.extract("Explanation: e\nAnswer: 4\nConfidence: 90%", 500)
    assert (answer.extracted, answer.confidence) == ("4", 90.0)
