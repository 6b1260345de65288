import pytest
from podium_eval.grading.verdict import decision, json_object, labelled


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"correct": "yes"}', {"correct": "yes"}),
        ('```json\n{"correct": "no",\n "n": {"a": 1}}\n```', {"correct": "no", "n": {"a": 1}}),
        ('First {not json} then {"x": 1} and {"correct": true} done', {"correct": True}),
        ('{"correct": "yes"} no, rather {"correct": "no"}', {"correct": "no"}),
        ('{"reasoning": "line\nbreak", "correct": "yes"}', {"reasoning": "line\nbreak", "correct": "yes"}),
        ('{"correct": "yes"', None),
        ("{" * 5000, None),
        ('["correct"]', None),
    ],
)
def test_the_json_object_in_a_reply(reply: str, found: object):
    assert json_object(reply, "correct") == found


def test_labelled_lines():
    assert labelled('correct: yes\n**Correct**: no,\n"correct": "yes",\nincorrect: no', "correct") == [
        "yes",
        "no",
        "yes",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("yes", True), (" Yes. ", True), ("NO", False), (True, True), (False, False), ("true", True), ("maybe", None)],
)
def test_decisions(value: object, expected: bool | None):
    assert decision(value, "yes", "no") is expected


@pytest.mark.parametrize("value", [None, 1, "yes and no", "not yes"])
def test_anything_else_decides_nothing(value: object):
    assert decision(value, "yes", "no") is None
