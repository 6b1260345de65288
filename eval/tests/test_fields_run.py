"""Twenty questions in HLE's own fields, an image among them, run through the whole eval by the official protocol."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness.chain import EXPERTS, TURNS, server
from harness.process import Eval
from loopback.openai_server import LoopbackServer, Reply, Rule
from podium_eval.dataset.load import load_questions

FIELDS = Path(__file__).parents[1] / "podium_eval" / "data" / "fields" / "questions.jsonl"
YES = {"extracted_final_answer": "42", "reasoning": "same", "correct": "yes", "confidence": 80, "strict": True}
NO = {**YES, "correct": "no", "confidence": 100}
ANSWER = Rule(
    [Reply(text="Explanation: by hand\nAnswer: 42\nConfidence: 80%")], contains=("Answer the problem", "Confidence:")
)
VISION = '[[model]]\nprovider = "vllm"\nmodel = "expert"\nvision = true\ndate = 2026-11-22\nsource = "this test"\n'


def judge(*replies: dict[str, Any]) -> Rule:
    """A judge that gives these verdicts in turn, then the last one for ever."""
    return Rule([Reply(text=json.dumps(reply)) for reply in replies], contains=("You are grading one exam answer",))


def stub(*verdicts: dict[str, Any]) -> LoopbackServer:
    return server(script=[judge(*verdicts), *TURNS, *EXPERTS[:2], ANSWER], record=True)


def pictures(stub: LoopbackServer) -> list[dict[str, Any]]:
    """Bodies of the chat requests that show an image."""
    return [r.body for r in stub.requests if "image_url" in json.dumps(r.body.get("messages", ""))]


async def test_twenty_image_questions_run_and_are_rejudged(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(VISION)
    async with stub(YES, YES, NO) as one:
        run = Eval(tmp_path, one.address, FIELDS, protocol="hle", models_file=tmp_path / "models.toml", concurrency=4)
        assert await run.run() == 0
        records = run.records()
        assert len(records) == 20
        assert {(r.status, r.ending, r.answer_text) for r in records.values()} == {
            ("done", "answered", "Explanation: by hand\nAnswer: 42\nConfidence: 80%")
        }
        assert sum(r.correct is True for r in records.values()) == 2
        assert {(r.correct, r.confidence) for r in records.values()} == {(True, 80.0), (False, 100.0)}
        assert [r.has_image for r in records.values()].count(True) == 1
        image = next(q.image for q in load_questions(FIELDS).questions if q.image)
        shown = pictures(one)
        assert shown, "the expert that sees is shown the picture"
        assert all(image in json.dumps(body) for body in shown)
        assert all(body["model"] == "expert" for body in shown), "the judge and the orchestrator see none"
        judged = [event for event in run.events("judge") if event["confidence"] == 100.0]
        assert all(event["confidence_stated"] for event in judged), "the answer states 80%"
    manifest = json.loads(run.folder.manifest.read_text())
    assert manifest["protocol"] == "hle"
    assert manifest["dataset"]["sha256"] == load_questions(FIELDS).sha256
    assert (manifest["dataset"]["n"], manifest["dataset"]["n_selected"]) == (20, 20)
    assert {"judge_hle.md", "judge_hle_answer.md"} <= set(manifest["prompts"])
    text = run.folder.events.read_text() + run.folder.manifest.read_text()
    assert load_questions(FIELDS).canary not in text, "the canary stays with the questions"

    async with stub(YES) as two:
        again = {"JUDGE": f"vllm/second@{two.base_url}"}
        assert await run.run("--rejudge", env=again) == 0
        assert "[REJUDGE_END] right=20 wrong=0 changed=18" in run.said
        assert [r.body["model"] for r in two.requests if "messages" in r.body] == ["second"] * 20
    for before in records.values():
        record = run.records()[before.task_id]
        assert [j.judge for j in record.judgements] == ["vllm/judge", "vllm/second"]
        assert record.correct == before.correct


@pytest.mark.parametrize(("images", "status"), [("skip", "skipped"), ("text", "done")])
async def test_an_image_question_without_an_expert_that_sees(tmp_path: Path, images: str, status: str) -> None:
    async with stub(YES) as one:
        run = Eval(tmp_path, one.address, FIELDS, protocol="hle", image_questions=images)
        assert await run.run("--ids", "fields-01,fields-02") == 0
        assert {name: record.status for name, record in run.records().items()} == {
            "fields-01": "done",
            "fields-02": status,
        }
        assert pictures(one) == []


async def test_an_image_nobody_sees_is_refused_where_asked(tmp_path: Path) -> None:
    async with stub(YES) as one:
        run = Eval(tmp_path, one.address, FIELDS, protocol="hle", image_questions="refuse")
        assert await run.run() == 2
        assert "1 questions have an image and no configured answer expert can see" in run.said
        assert await run.run("--text-only", "--limit", "2") == 0
    assert len(run.records()) == 2


async def test_epochs_ask_each_question_again(tmp_path: Path) -> None:
    async with stub(YES, NO) as one:
        run = Eval(tmp_path, one.address, FIELDS, protocol="hle", concurrency=1)
        assert await run.run("--limit", "1", "--epochs", "3") == 0
    ends = [(e["task_id"], e["epoch"], e["correct"]) for e in run.events("task_complete")]
    assert sorted(ends) == [("fields-01", 1, True), ("fields-01", 2, False), ("fields-01", 3, False)]
