import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from podium_contracts.records import Turn
from podium_eval.episode.context import NOTHING_YET, Knowledge, Limits


class Words:
    """One token a word: what is kept can be counted by hand."""

    exact = True

    def count(self, text: str) -> int:
        return len(text.split())

    def keep_end(self, text: str, limit: int) -> tuple[str, int]:
        words = text.split()
        kept = words[len(words) - limit :] if limit < len(words) else words
        return " ".join(kept) if len(kept) < len(words) else text, len(words) - len(kept)


def document(id_: str, n: int) -> dict[str, str]:
    return {"id": id_, "contents": " ".join([id_] * n)}


def search(step: int, *documents: dict[str, str]) -> Turn:
    return Turn(step=step, tool="search", status="ok", documents=list(documents))


def program(step: int, out: str) -> Turn:
    return Turn(
        step=step, tool="enhance_reasoning", status="ok", code="print(1)", exec_status="ok", exit_code=0, stdout=out
    )


def failure(step: int, message: str = "no answer") -> Turn:
    return Turn(
        step=step, tool="answer", alias="answer-1", status="failed", error_type="timeout", error_message=message
    )


ROOMY = Limits(10_000, 10_000, 10_000)


def test_knowledge_keeps_its_order_and_only_grows() -> None:
    knowledge = Knowledge(Words(), 1.0)
    view = knowledge.view(ROOMY)
    assert view.text() == NOTHING_YET
    texts: list[str] = []
    for turn in (search(1, document("a", 3)), program(2, "42"), failure(3), search(4, document("b", 3))):
        knowledge.learn(turn)
        texts.append(view.text())
    for before, after in itertools.pairwise(texts):
        assert after.startswith(before), "the next turn does not share this one's prefix"
    assert "## Document 1\na a a" in texts[-1]
    assert "## Program 1\n```python\nprint(1)\n```\nOutput:\n42" in texts[-1]
    assert "answer with answer-1 failed: no answer" in texts[-1]
    assert "## Document 2" in texts[-1]


def test_what_became_of_a_program_is_said() -> None:
    knowledge = Knowledge(Words(), 1.0)
    view = knowledge.view(ROOMY)
    bad = program(1, "")
    bad.exec_status, bad.exit_code, bad.stderr = "error", 1, "ZeroDivisionError"
    slow = program(2, "3\n")
    slow.exec_status = "timeout"
    knowledge.learn(bad)
    knowledge.learn(slow)
    assert "Output, exit status 1:\n(none)\nErrors:\nZeroDivisionError" in view.text()
    assert "Output, stopped at its time limit:\n3" in view.text()


def test_documents_are_known_by_id_or_else_by_text() -> None:
    knowledge = Knowledge(Words(), 1.0)
    knowledge.learn(search(1, document("a", 2), {"id": "", "contents": "no id"}))
    assert knowledge.knows("a")
    assert knowledge.knows("no id")
    assert not knowledge.knows("b")


def test_a_full_view_loses_its_oldest_documents_first() -> None:
    knowledge = Knowledge(Words(), 0.5)
    view = knowledge.view(Limits(total=100, code=50, attempts=20))
    knowledge.learn(program(1, "kept"))
    for n in range(2, 8):
        knowledge.learn(search(n, document(f"d{n}", 20)))
    assert view.tokens <= 100
    assert "kept" in view.text()
    assert "d2 d2" not in view.text()
    assert "d7 d7" in view.text()
    cut = view.cut_tokens
    text = view.text()
    knowledge.learn(search(8, document("new", 5)))
    assert view.cut_tokens == cut, "a view was cut again right after a cut"
    assert view.text().startswith(text)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("dpa"), st.integers(1, 60)), max_size=30),
    st.integers(20, 200),
    st.integers(10, 100),
    st.integers(5, 50),
    st.floats(0.1, 1.0),
)
def test_no_limit_is_ever_passed(
    kinds: list[tuple[str, int]], total: int, code: int, attempts: int, share: float
) -> None:
    knowledge = Knowledge(Words(), share)
    view = knowledge.view(Limits(total, code, attempts))
    for step, (kind, n) in enumerate(kinds, start=1):
        if kind == "d":
            knowledge.learn(search(step, document(f"d{step}", n)))
        elif kind == "p":
            knowledge.learn(program(step, " ".join(["out"] * n)))
        else:
            knowledge.learn(failure(step, " ".join(["why"] * n)))
        assert view.tokens <= total
        assert Words().count(view.text()) <= total + len(NOTHING_YET.split())


def test_a_view_made_late_sees_what_an_early_one_sees() -> None:
    limits = Limits(60, 40, 20)
    turns = [search(n, document(f"d{n}", 15)) for n in range(1, 9)]
    early = Knowledge(Words(), 0.8)
    view = early.view(limits)
    late = Knowledge(Words(), 0.8)
    for turn in turns:
        early.learn(turn)
        late.learn(turn)
    assert late.view(limits).text() == view.text()
