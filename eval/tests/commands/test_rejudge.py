import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from loopback.openai_server import Fault, LoopbackServer, Reply
from podium_contracts.records import Judgement, TaskRecord, task_key
from podium_eval.commands.rejudge import rejudge
from podium_eval.errors import ConfigError
from podium_eval.grading.grader import judge_template
from podium_eval.run.folder import RunFolder, read_record
from podium_eval.run.rejudge import due
from podium_eval.settings.read import Settings

VERDICT = {"extracted_final_answer": "4", "reasoning": "same", "correct": "yes", "confidence": 80, "strict": True}
HASH = judge_template("hle").sha256


def own(correct: bool | None, judge: str = "openai/o3-mini") -> Judgement:
    return Judgement(
        protocol="hle",
        method="model",
        provider="openai",
        model="o3-mini",
        judge=judge,
        prompt_hash=HASH,
        correct=correct,
        ts="2026-11-22T10:00:00.000Z",
        error_type=None if correct is not None else "judge_error",
    )


def record(task_id: str, correct: bool | None = False, **fields: Any) -> TaskRecord:
    values: dict[str, Any] = {
        "run_id": "r1",
        "key": task_key(task_id),
        "task_id": task_id,
        "eid": 0,
        "question": f"What is {task_id}?",
        "gold_answer": "4",
        "status": "done" if correct is not None else "error",
        "ending": "answered",
        "correct": correct,
        "answer_text": f"Explanation: e {task_id}\nAnswer: 4\nConfidence: 90%",
        "judgements": [own(correct)],
        "rounds": 3,
        "started_ts": "",
        "finished_ts": "",
        "duration_ms": 1.0,
    }
    return TaskRecord(**{**values, **fields})


def make_run(runs: Path, *records: TaskRecord) -> Path:
    folder = RunFolder(runs / "r1")
    folder.acquire()
    for one in records:
        folder.write_record(one)
    folder.release()
    (runs / "r1" / "run.json").write_text(
        json.dumps({"run_id": "r1", "dataset": {"sha256": "d"}, "orchestrator": {"model": "o"}})
    )
    (runs / "r1" / "events.jsonl").write_text("")
    return runs / "r1"


def settings(runs: Path, server: LoopbackServer, **fields: Any) -> Settings:
    given: dict[str, Any] = {
        "runs_dir": runs,
        "run_id": "r1",
        "judge": f"vllm/small@{server.base_url}",
        "concurrency": 4,
        "model_attempts": 1,
        "retry_first_s": 0.0,
        "expert_answer_1": "openai/never-configured",
    }
    return Settings(**{**given, **fields})


def stored(run: Path, task_id: str) -> TaskRecord:
    return read_record((run / "tasks" / f"{task_key(task_id)}.json").read_bytes())


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (run / "rejudge.jsonl").read_text().splitlines())
    return [line for line in lines if line["type"] == kind]


def judged(server: LoopbackServer) -> int:
    return len(server.requests)


async def test_another_judge_grades_and_the_first_grade_stays(tmp_path: Path):
    run = make_run(tmp_path, record("a"), record("b", True), record("c", False, ending="round_limit", answer_text=None))
    untouched = (run / "tasks" / f"{task_key('c')}.json").read_bytes()
    async with LoopbackServer(reply=Reply(text=json.dumps(VERDICT))) as server:
        assert await rejudge(settings(tmp_path, server)) == 0
        assert judged(server) == 2
        assert all("Explanation: e" in request.body["messages"][-1]["content"] for request in server.requests)
    a = stored(run, "a")
    assert [(j.correct, j.judge) for j in a.judgements] == [(False, "openai/o3-mini"), (True, "vllm/small")]
    assert (a.correct, a.judgements[1].confidence, a.judgements[1].extracted_answer) == (False, 80.0, "4")
    assert a.judgements[1].prompt_hash == HASH
    assert (run / "tasks" / f"{task_key('c')}.json").read_bytes() == untouched
    assert (run / "events.jsonl").read_text() == "", "the run's own log is left alone"
    assert [
        (e["task_id"], e["correct"], e["rejudge"]) for e in sorted(events(run, "judge"), key=lambda e: e["task_id"])
    ] == [
        ("a", True, True),
        ("b", True, True),
    ]
    assert {call["role"] for call in events(run, "llm_call")} == {"judge"}
    assert all(call["rejudge"] for call in events(run, "llm_call"))
    (end,) = events(run, "run_end")
    assert (end["reason"], end["n_done"], end["n_error"], end["n_skipped"], end["n_left"]) == ("finished", 2, 0, 1, 0)


async def test_only_failed_judgements_are_asked_again(tmp_path: Path):
    names = [f"t{n}" for n in range(6)]
    run = make_run(tmp_path, *(record(name) for name in names))
    async with LoopbackServer(
        reply=Reply(text=json.dumps(VERDICT)), faults=[Fault("status", status=400)] * 2
    ) as server:
        assert await rejudge(settings(tmp_path, server)) == 1
        assert sorted(len(stored(run, name).judgements) for name in names) == [1, 1, 2, 2, 2, 2]
        before = judged(server)
        assert await rejudge(settings(tmp_path, server)) == 0
        assert judged(server) == before + 2
        assert await rejudge(settings(tmp_path, server)) == 0
        assert judged(server) == before + 2
    assert [len(stored(run, name).judgements) for name in names] == [2] * 6
    assert [start["segment"] for start in events(run, "run_start")] == [1, 2, 3]


async def test_another_protocol_reads_the_same_answers_its_own_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    records = (
        record("tagged", answer_text="so <answer>4</answer>"),
        # The run asked for HLE's lines, so these are where the answer stands.
        record("exact", answer_text="Explanation: e\nAnswer: 4\nConfidence: 9%"),
        record("other", answer_text="Explanation: e\nAnswer: four\nConfidence: 9%"),
        record("prose", answer_text="I cannot say."),
    )
    run = make_run(tmp_path, *records)
    async with LoopbackServer(reply=Reply(text='{"correct": true}')) as server:
        assert await rejudge(settings(tmp_path, server, protocol="toolorchestra")) == 0
        assert judged(server) == 1
        assert "four" in server.requests[0].body["messages"][-1]["content"]
        assert "right=3 wrong=0 changed=3 unanswered=1 already=0" in capsys.readouterr().out
        assert await rejudge(settings(tmp_path, server, protocol="toolorchestra")) == 0
        assert judged(server) == 1
    graded = {one.task_id: stored(run, one.task_id).judgements[1:] for one in records}
    assert {name: [(j.protocol, j.method, j.correct) for j in found] for name, found in graded.items()} == {
        "tagged": [("toolorchestra", "exact_match", True)],
        "exact": [("toolorchestra", "exact_match", True)],
        "other": [("toolorchestra", "model", True)],
        "prose": [("toolorchestra", "unanswered", False)],
    }


async def test_a_rejudge_is_of_the_run_s_own_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path, record("one", judgements=[]))
    manifest = json.loads((run / "run.json").read_text()) | {"benchmark": {"name": "simpleqa"}}
    (run / "run.json").write_text(json.dumps(manifest))
    async with LoopbackServer(reply=Reply(text='{"explanation": "e", "decision": "NOT_ATTEMPTED"}')) as server:
        with pytest.raises(ConfigError, match="r1 is a run of simpleqa: set BENCHMARK=simpleqa to grade it again"):
            await rejudge(settings(tmp_path, server))
        assert await rejudge(settings(tmp_path, server, benchmark="simpleqa")) == 0
    assert "right=0 wrong=1" in capsys.readouterr().out
    (given,) = stored(run, "one").judgements
    assert (given.protocol, given.correct, given.grade) == ("simpleqa", False, "not_attempted")


async def test_what_the_runs_own_judge_left_ungraded_is_for_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    async with LoopbackServer(reply=Reply(text=json.dumps(VERDICT))) as server:
        mine = own(None, judge="vllm/small")
        run = make_run(tmp_path, record("a", None, judgements=[mine]))
        assert await rejudge(settings(tmp_path, server)) == 1
        assert judged(server) == 0
        assert "resume the run" in capsys.readouterr().err
        other = settings(tmp_path, server, judge=f"vllm/other@{server.base_url}")
        assert await rejudge(other) == 0
    assert [(j.correct, j.judge) for j in stored(run, "a").judgements] == [(None, "vllm/small"), (True, "vllm/other")]
    assert stored(run, "a").status == "error"


async def test_bad_requests_say_what_to_do(tmp_path: Path):
    async with LoopbackServer() as server:
        with pytest.raises(ConfigError, match="RUN_ID is not set"):
            await rejudge(settings(tmp_path, server, run_id=None))
        with pytest.raises(ConfigError, match=r"r1 is no run.*set RUNS_DIR and RUN_ID"):
            await rejudge(settings(tmp_path, server))
        make_run(tmp_path, record("a"))
        with pytest.raises(ConfigError, match="JUDGE is not set"):
            await rejudge(settings(tmp_path, server, judge=None))
        holder = RunFolder(tmp_path / "r1")
        holder.acquire()
        with pytest.raises(ConfigError, match="run r1 is on already"):
            await rejudge(settings(tmp_path, server))
        holder.release()


async def test_a_record_that_cannot_be_read_fails_alone(tmp_path: Path):
    run = make_run(tmp_path, record("a"))
    (run / "tasks" / "broken.json").write_text("{")
    async with LoopbackServer(reply=Reply(text=json.dumps(VERDICT))) as server:
        assert await rejudge(settings(tmp_path, server)) == 1
    assert len(stored(run, "a").judgements) == 2


async def test_killed_it_goes_on_and_grades_nothing_twice(tmp_path: Path):
    names = [f"t{n}" for n in range(12)]
    run = make_run(tmp_path, *(record(name) for name in names))
    async with LoopbackServer(reply=Reply(text=json.dumps(VERDICT)), latency_s=0.05) as server:
        env = {**os.environ, "RUNS_DIR": str(tmp_path), "RUN_ID": "r1", "JUDGE": f"vllm/small@{server.base_url}"}
        env |= {"CONCURRENCY": "2", "DATASET": ""}
        command = (sys.executable, "-m", "podium_eval", "rejudge")
        first = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.DEVNULL)
        while sum(len(stored(run, name).judgements) == 2 for name in names) < 4:  # noqa: ASYNC110 - another process writes them: there is nothing to await
            await asyncio.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        kept = sum(len(stored(run, name).judgements) == 2 for name in names)
        assert 4 <= kept < 12
        asked = judged(server)
        second = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.DEVNULL)
        assert await asyncio.wait_for(second.wait(), 60) == 0
        assert judged(server) - asked == 12 - kept
    assert [len(stored(run, name).judgements) for name in names] == [2] * 12


def test_what_is_due():
    assert due(record("a"), "hle", "vllm/small", HASH) == "due"
    assert due(record("a"), "hle", "openai/o3-mini", HASH) == "already"
    assert due(record("a"), "hle", "openai/o3-mini", "other prompt") == "due"
    assert due(record("a"), "toolorchestra", "openai/o3-mini", HASH) == "due"
    assert due(record("a", None), "hle", "openai/o3-mini", HASH) == "resume"
    assert due(record("a", ending="time_limit"), "hle", "x/y", HASH) == "no_answer"
