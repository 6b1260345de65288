"""Text that a model writes: read in linear time, and whatever it holds, a value or a named refusal."""

import contextlib
import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_eval.grading.extraction import labelled_answer, stated_confidence, tagged_answer
from podium_eval.grading.hle import HleProtocol
from podium_eval.grading.toolorchestra import ToolOrchestraProtocol
from podium_eval.grading.verdict import Answer, UnreadableVerdict, labelled
from podium_eval.tools.extraction import program_of, query_of

ANSWER = Answer(text="Answer: 42\nConfidence: 90%", extracted="42", confidence=90.0)
HLE, TOOLORCHESTRA = HleProtocol(), ToolOrchestraProtocol()


READERS: dict[str, tuple[Callable[[str], object], Callable[[int], str]]] = {
    "blanks behind a confidence": (stated_confidence, lambda n: "Confidence:" + " " * n),
    "digits of a confidence": (stated_confidence, lambda n: "Confidence: 1." + "1" * n + "x"),
    "blanks before a colon": (labelled_answer, lambda n: "Answer" + " " * n + ":"),
    "marks before a label": (labelled_answer, lambda n: "> " * n + "Answr"),
    "blanks of a judge's field": (lambda text: labelled(text, "correct"), lambda n: "correct" + " " * n + "yes"),
    "tags that never close": (tagged_answer, lambda n: "<answer>" * n),
    "boxes that never close": (tagged_answer, lambda n: "\\boxed{" * n),
    "queries that never close": (query_of, lambda n: "<query>" * n),
    "fences that never close": (program_of, lambda n: "x```\n" * n),
    "fences of Python": (program_of, lambda n: "x```python\n" * n),
}


@pytest.mark.parametrize("case", READERS)
def test_twice_the_text_costs_no_more_than_thrice_the_time(case: str) -> None:
    read, text = READERS[case]

    def seconds(n: int) -> float:
        taken: list[float] = []
        for _ in range(3):
            began = time.process_time()
            read(text(n))
            taken.append(time.process_time() - began)
        return min(taken)

    assert seconds(64_000) <= 3 * seconds(32_000) + 0.05


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("Confidence: 9/10", 90.0),
        ("Confidence: 90/100", 90.0),
        ("Confidence: 5/1000", None),
        ("Confidence: 85-90%", None),
        ("Confidence: 85% – 90%", None),
        (r"Confidence: $90\%$", 90.0),
        ("Confidence: 1000%", None),
        ("Confidence: 0.9", None),
        ("Confidence: 0.9%", 0.9),
        ("**Confidence:** about 72.5 percent", 72.5),
    ],
)
def test_a_stated_confidence_is_read_or_not_stated(line: str, percent: float | None) -> None:
    assert stated_confidence(line) == percent


def test_a_draft_in_truncated_thinking_is_no_answer() -> None:
    cut = "<think>Perhaps <answer>41</answer>? Let me"
    assert TOOLORCHESTRA.extract(cut, 500).extracted is None
    assert TOOLORCHESTRA.extract("<answer>7</answer> <think>or <answer>8</answer>", 500).extracted == "7"
    assert TOOLORCHESTRA.extract("<think>41?</think><answer>42</answer>", 500).extracted == "42"


def reply(**fields: object) -> str:
    return json.dumps({"extracted_final_answer": "42", "reasoning": "s", "correct": "yes", "confidence": 80, **fields})


def test_a_confidence_of_nine_thousand_digits_is_no_verdict_lost() -> None:
    long = reply(confidence="X").replace('"X"', "1" + "0" * 9000)
    with pytest.raises(UnreadableVerdict):
        HLE.read(long[:200], ANSWER)
    verdict = HLE.read(reply(confidence="X").replace('"X"', "1" + "0" * 400), ANSWER)
    assert (verdict.correct, verdict.confidence) == (True, 90.0)


def test_a_bare_fraction_gives_way_to_the_answers_line() -> None:
    assert HLE.read(reply(confidence=0.9), ANSWER).confidence == 90.0


@pytest.mark.parametrize(("written", "means"), [(r"\(\alpha\)", r"\(\alpha\)"), (r"\frac{1}{2}", r"\frac{1}{2}")])
def test_latex_in_a_judges_json_is_kept(written: str, means: str) -> None:
    raw = reply(extracted_final_answer="X").replace('"X"', f'"{written}"')
    assert HLE.read(raw, ANSWER).extracted_answer == means


def test_escapes_that_json_knows_are_untouched() -> None:
    assert HLE.read(reply(reasoning='a\nb "c" \\frac \u00e9'), ANSWER).reasoning == 'a\nb "c" \\frac \u00e9'


def test_a_remark_in_parentheses_leaves_the_decision() -> None:
    assert HLE.read("correct: yes (the answers match)", ANSWER).correct is True
    assert HLE.read("correct: no (42 is not 43)", ANSWER).correct is False


@pytest.mark.parametrize(
    ("said", "correct"),
    [
        ("correct: true", True),
        ("<correct>True</correct>", True),
        ("True. The two are the same number.", True),
        ("False: the sign differs.\nIt should be minus.", False),
        ("The answers agree.\nTrue", True),
    ],
)
def test_toolorchestras_judge_may_say_it_in_its_own_form(said: str, correct: bool) -> None:
    assert TOOLORCHESTRA.read(said, ANSWER).correct is correct


@pytest.mark.parametrize(
    "said", ["", "True or false?", "correct: true\ncorrect: false", "True. But no:\nFalse", "Truely"]
)
def test_a_judge_that_says_both_or_neither_decides_nothing(said: str) -> None:
    with pytest.raises(UnreadableVerdict):
        TOOLORCHESTRA.read(said, ANSWER)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.text()
    | st.lists(
        st.sampled_from(["{", "}", "[", '"', ":", ",", "\\", "correct", "yes", "true", "1e999", "9" * 5000, "\n", " "])
    ).map("".join)
)
def test_any_reply_is_a_verdict_or_unreadable(text: str) -> None:
    for protocol in (HLE, TOOLORCHESTRA):
        with contextlib.suppress(UnreadableVerdict):
            assert protocol.read(text, ANSWER).correct in (True, False)
        protocol.extract(text, 500, asked="hle")
