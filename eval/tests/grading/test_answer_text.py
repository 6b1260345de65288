import pytest
from podium_eval.grading.extraction import after_thinking, labelled_answer, stated_confidence, tagged_answer


@pytest.mark.parametrize(
    ("text", "answer", "confidence"),
    [
        ("Explanation: so\nAnswer: 42\nConfidence: 85%", "42", 85.0),
        ("**Explanation:** so\n**Answer:** 42\n**Confidence:** 85 %", "42", 85.0),
        ("**Answer**: 42\n**Confidence**: 7", "42", 7.0),
        ("- Exact Answer: x = 3\n- confidence: about 60 percent", "x = 3", 60.0),
        ("Final answer: **B**\nConfidence: 100%", "B", 100.0),
        ("Answer: one\nAnswer: two\nlines\nConfidence: 0%", "two\nlines", 0.0),
        ("Answer: 5\n\nConfidence: 12.5%", "5", 12.5),
        ("答えは\nAnswer： 5\nConfidence： 50%", "5", 50.0),
        ("The answer: is hidden in prose", None, None),
        ("Answer:\nConfidence: high", None, None),
        ("Confidence: 0.9", None, None),
        ("Confidence: 0.9%", None, 0.9),
        ("Confidence: 150%", None, None),
        ("Confidence: 1", None, 1.0),
        ("Confidence: 30%\nConfidence: 40%", None, 40.0),
        ("", None, None),
    ],
)
def test_labelled_lines(text: str, answer: str | None, confidence: float | None):
    assert (labelled_answer(text), stated_confidence(text)) == (answer, confidence)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{\frac{1}{2}} then \boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {a_{b}}", "a_{b}"),
        (r"\boxed{1} and cut \boxed{2", "1"),
        ("<answer> 42 </answer>", "42"),
        ("<ANSWER>a</ANSWER> or <answer>b</answer>", "b"),
        ("<answer>cut off", "cut off"),
        (r"<answer>tag</answer> \boxed{box}", "tag"),
        ("<answer></answer>", None),
        ("nothing", None),
    ],
)
def test_tags_and_boxes(text: str, answer: str | None):
    assert tagged_answer(text) == answer


@pytest.mark.timeout(10)
def test_a_huge_text_is_read_in_time():
    assert tagged_answer(r"\boxed{" * 200_000) is None
    assert tagged_answer("<answer>" * 200_000) is not None
    assert labelled_answer("Answer: " + "*" * 200_000) is None
    assert stated_confidence("Confidence: " * 20_000) is None


def test_thinking_is_not_the_answer():
    assert after_thinking("<think>Answer: 1</think>\nAnswer: 2") == "\nAnswer: 2"
    assert after_thinking("Answer: 2") == "Answer: 2"
