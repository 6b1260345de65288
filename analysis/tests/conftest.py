"""A run folder as the eval writes it, made from the contracts' own types."""

import heapq
import importlib.util
import json
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from podium_contracts.events import (
    Event,
    Judge,
    LlmCall,
    RunEnd,
    RunStart,
    TaskComplete,
    TaskStart,
    ToolCall,
    event_to_json,
)
from podium_contracts.levels import LEVELS
from podium_contracts.records import Judgement, TaskRecord, Turn, task_key

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CATEGORIES = ("Math", "Physics", "Biology/Medicine", "Computer Science/AI", "Humanities/Social Science")
LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
WORDS = (
    *("bound", "follows", "from", "compactness", "since", "each", "operator", "lattice", "finite", "spectrum"),
    *("so", "the", "sum", "of", "residues", "vanishes;", "a", "second", "reading", "gives", "another", "value"),
)


class RunMaker:
    """Simulates `n` tasks at `concurrency` and writes what the eval would have written."""

    def __init__(
        self,
        folder: Path,
        *,
        n: int = 24,
        concurrency: int = 8,
        seed: int = 1,
        accuracy: float = 0.4,
        slower: float = 1.0,
        epochs: int = 1,
        hostile: str | None = None,
        words: int = 60,
        manifest: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.n = n
        self.concurrency = concurrency
        self.random = random.Random(seed)
        self.accuracy = accuracy
        self.slower = slower
        self.epochs = epochs
        self.hostile = hostile
        self.words = words
        self.manifest = manifest or {}
        self.lines: list[tuple[float, dict[str, Any]]] = []
        self.run_id = folder.name

    def text(self, n: int | None = None) -> str:
        count = n or self.words
        body = " ".join(self.random.choice(WORDS) for _ in range(count))
        return f"{self.hostile} {body}" if self.hostile else body

    def emit(self, at_ms: float, event: Event) -> None:
        line = {
            "ts": (START + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds"),
            "level": LEVEL_NAMES[event.LEVEL],
            "mono_ms": round(at_ms, 3),
            **event_to_json(event),
        }
        self.lines.append((at_ms, line))

    def write(self) -> Path:
        (self.folder / "tasks").mkdir(parents=True)
        total = self.n * self.epochs
        self.emit(
            0.0,
            RunStart(
                run_id=self.run_id,
                protocol=self.manifest.get("protocol", "hle"),
                concurrency=self.concurrency,
                max_rounds=50,
                n_tasks=total,
                n_finished=0,
                dataset_sha256="d" * 64,
                orchestrator_model="orchestrator",
            ),
        )
        slots = [5.0] * self.concurrency
        heapq.heapify(slots)
        end = 0.0
        for epoch in range(1, self.epochs + 1):
            for eid in range(self.n):
                start = heapq.heappop(slots)
                stop = self.task(eid, epoch, start)
                end = max(end, stop)
                heapq.heappush(slots, stop + 1.0)
        n_error = sum(line["type"] == "task_complete" and line["status"] == "error" for _, line in self.lines)
        self.emit(
            end + 5,
            RunEnd(
                run_id=self.run_id,
                reason="finished",
                duration_ms=end + 5,
                n_done=total - n_error,
                n_error=n_error,
                n_skipped=0,
                n_left=0,
            ),
        )
        self.lines.sort(key=lambda pair: pair[0])
        with (self.folder / "events.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for _, line in self.lines)
        self.samples(end)
        (self.folder / "run.json").write_text(json.dumps(self.run_json()), encoding="utf-8")
        return self.folder

    def run_json(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "schema_version": 1,
            "created_ts": START.isoformat(),
            "protocol": "hle",
            "settings": {"concurrency": self.concurrency, "max_rounds": 50, "openai_api_key": "**********"},
            "dataset": {"path": "data/questions.jsonl", "sha256": "d" * 64, "n": self.n, "n_selected": self.n},
            "prompts": {"orchestrator.md": "a" * 64, "judge.md": "b" * 64},
            "experts": {
                "answer-1": {"provider": "vllm", "model": "expert-one", "addresses": ["http://127.0.0.1:1406/v1"]}
            },
            "judge": {"provider": "vllm", "model": "judge-model", "addresses": ["http://127.0.0.1:1406/v1"]},
            "orchestrator": {"model": "orchestrator", "url": "http://127.0.0.1:1406/v1"},
            "versions": {"podium_eval": "0.1.0", "vllm": "0.32.0"},
            "git_revision": "0123456789abcdef",
            "host": {"cpus": 2, "memory_gib": 24},
            "gpus": [],
            "prices": {},
            "epochs": self.epochs,
            "segments": [{"n": 1, "started_ts": START.isoformat(), "ended_ts": None, "reason": "finished"}],
            **self.manifest,
        }

    def samples(self, end_ms: float) -> None:
        with (self.folder / "samples.jsonl").open("w", encoding="utf-8") as out:
            for second in range(int(end_ms / 1000) + 1):
                sample = {
                    "ts": (START + timedelta(seconds=second)).isoformat(),
                    "mono_ms": second * 1000.0,
                    "segment": 1,
                    "in_flight": self.concurrency,
                    "loop_lag_ms": 0.4,
                    "vllm": {"running": self.concurrency // 2, "waiting": 1, "kv_use": 0.25, "preemptions_total": 0}
                    if second % 7
                    else None,
                    "retrieval": {"queue": 2, "batch_size": 4, "requests_total": second},
                }
                out.write(json.dumps(sample) + "\n")

    def task(self, eid: int, epoch: int, start: float) -> float:
        rnd = self.random
        task_id = f"q{eid:04d}"
        ids: dict[str, Any] = {"run_id": self.run_id, "task_id": task_id, "eid": eid, "epoch": epoch}
        self.emit(start, TaskStart(**ids))
        at = start + 0.5
        turns: list[Turn] = []
        rounds = rnd.choice((2, 3, 3, 4, 6))
        failed = rnd.random() < 0.04
        limit = not failed and rnd.random() < 0.05
        cost = 0.0
        n_unpriced = 0
        for step in range(1, rounds + 1):
            queue, prefill, decode, overhead, wait = (
                rnd.expovariate(1 / 20) * self.slower,
                rnd.uniform(20, 60) * self.slower,
                rnd.lognormvariate(5.5, 0.6) * self.slower,
                rnd.uniform(1, 8),
                rnd.choice((0.0, 0.0, 3.0)),
            )
            call = queue + prefill + decode + overhead
            at += wait + call
            tokens = 700 * step + rnd.randrange(300)
            self.emit(
                at,
                LlmCall(
                    **ids,
                    step=step,
                    role="orchestrator",
                    provider="vllm",
                    model="orchestrator",
                    duration_ms=call,
                    queue_ms=queue,
                    prefill_ms=prefill,
                    decode_ms=decode,
                    overhead_ms=overhead,
                    itl_ms=decode / 60,
                    wait_ms=wait,
                    limiter_ms=wait,
                    prompt_tokens=tokens,
                    cached_tokens=tokens // 2,
                    completion_tokens=60,
                    timing_source="server",
                    cost_usd=None,
                ),
            )
            last = step == rounds
            tool = "answer" if last and not limit else rnd.choice(("search", "enhance_reasoning"))
            broken = failed and last
            turn, spent = self.tool(ids, step, tool, at + 0.2, broken)
            at = spent
            for name, value in (
                ("orchestrator_ms", call),
                ("queue_ms", queue),
                ("prefill_ms", prefill),
                ("decode_ms", decode),
                ("wait_ms", wait),
            ):
                setattr(turn, name, round(value, 3))
            turn.prompt_tokens, turn.cached_tokens, turn.completion_tokens = tokens, tokens // 2, 60
            turns.append(turn)
            cost += 0.0004
            n_unpriced += 1
            at += 0.4
        at += 0.3
        status = "error" if failed else "done"
        ending = "error" if failed else ("round_limit" if limit else "answered")
        ungraded = not failed and not limit and rnd.random() < 0.03
        correct = None if failed or ungraded else (False if limit else rnd.random() < self.accuracy)
        confidence = float(rnd.randrange(20, 100)) if correct is not None and not limit else None
        error = "server_error" if failed else None
        self.emit(
            at,
            TaskComplete(
                **ids,
                status=status,
                ending=ending,
                correct=correct,
                confidence=confidence,
                rounds=rounds,
                duration_ms=at - start,
                cost_usd=cost,
                n_unpriced=n_unpriced,
                error_type=error,
            ),
        )
        key = task_key(task_id, epoch)
        answered = ending == "answered"
        record = TaskRecord(
            run_id=self.run_id,
            key=key,
            task_id=task_id,
            epoch=epoch,
            eid=eid,
            question=f"Question {eid}: {self.text(30)}?",
            gold_answer=self.hostile or str(eid * 7),
            answer_type="exactMatch",
            category=self.hostile or CATEGORIES[eid % len(CATEGORIES)],
            subject=self.hostile or "Some subject",
            status=status,
            ending=ending,
            correct=correct,
            confidence=confidence,
            answer=(self.hostile or str(eid * 7 + (0 if correct else 1))) if answered else None,
            answer_text=self.text() if answered else None,
            answer_alias="answer-1" if answered else None,
            answer_model="expert-one" if answered else None,
            judgements=[
                Judgement(
                    protocol="hle",
                    provider="vllm",
                    model=self.hostile or "judge-model",
                    method="model",
                    correct=correct,
                    extracted_answer=self.hostile or str(eid * 7),
                    reasoning=self.text(20),
                    confidence=confidence,
                    ts=START.isoformat(),
                )
            ]
            if answered
            else [],
            turns=turns,
            rounds=rounds,
            started_ts=(START + timedelta(milliseconds=start)).isoformat(),
            finished_ts=(START + timedelta(milliseconds=at)).isoformat(),
            duration_ms=at - start,
            cost_usd=cost,
            n_unpriced=n_unpriced,
            error_type=error,
            error_message=(self.hostile or "the expert's server answered 503") if failed else None,
            traceback=self.hostile if failed else None,
        )
        (self.folder / "tasks" / f"{key}.json").write_text(json.dumps(record.to_json()), encoding="utf-8")
        return at

    def tool(self, ids: dict[str, Any], step: int, tool: str, start: float, broken: bool) -> tuple[Turn, float]:
        """One tool's events and its turn; returns when it ended."""
        rnd = self.random
        alias = {"search": "search-1", "enhance_reasoning": "reasoner-1", "answer": "answer-1"}[tool]
        expert = rnd.lognormvariate(6.2, 0.5) * self.slower
        at = start + expert
        common: dict[str, Any] = {**ids, "step": step}
        self.emit(
            at,
            LlmCall(
                **common,
                role="expert",
                tool=tool,
                alias=alias,
                provider="vllm",
                model="expert-one",
                duration_ms=expert,
                queue_ms=expert * 0.05,
                prefill_ms=expert * 0.15,
                decode_ms=expert * 0.78,
                overhead_ms=expert * 0.02,
                prompt_tokens=900,
                completion_tokens=200,
                timing_source="server",
                cost_usd=0.0004,
                error_type="server_error" if broken else None,
            ),
        )
        parts: dict[str, Any] = {"expert_ms": expert}
        turn = Turn(
            step=step,
            tool=tool,
            alias=alias,
            arguments={"model": alias, "note": self.hostile or "go"},
            content=self.hostile,
            status="failed" if broken else "ok",
            error_type="server_error" if broken else None,
            error_message=self.hostile if broken else None,
            provider="vllm",
            model=self.hostile or "expert-one",
            response=self.text(),
        )
        own = expert
        if not broken and tool == "search":
            retrieval = rnd.uniform(5, 40)
            at += retrieval
            own += retrieval
            parts |= {
                "query_ms": expert,
                "retrieval_ms": retrieval,
                "retrieval_queue_ms": 1.0,
                "retrieval_encode_ms": 2.0,
                "retrieval_search_ms": 0.5,
                "retrieval_batch_size": 4,
                "n_documents": 3,
                "n_new_documents": 2,
            }
            turn.query = self.hostile or "known bound of the lattice constant"
            turn.documents = [
                {
                    "id": self.hostile or f"d{n}",
                    "title": self.hostile or f"Passage {n}",
                    "contents": self.text(),
                    "score": 0.7 - n / 10,
                    "source": "corpus",
                    "url": "javascript:alert(1)" if self.hostile else None,
                }
                for n in range(2)
            ]
        elif not broken and tool == "enhance_reasoning":
            execution = rnd.uniform(80, 300)
            at += execution
            own += execution
            parts |= {"exec_ms": execution, "exec_status": "ok"}
            turn.code = f"{self.hostile or ''}\nprint(sum(range(10)))\n"
            turn.stdout = self.hostile or "45\n"
            turn.stderr = self.hostile
            turn.exec_status, turn.exit_code = "ok", 0
        total = own
        if not broken and tool == "answer":
            judge = rnd.uniform(100, 400)
            at += judge
            total += judge
            parts["judge_ms"] = judge
            self.emit(
                at,
                LlmCall(
                    **common,
                    role="judge",
                    tool="answer",
                    provider="vllm",
                    model="judge-model",
                    duration_ms=judge,
                    prompt_tokens=400,
                    completion_tokens=80,
                    cost_usd=None,
                ),
            )
            self.emit(
                at,
                Judge(
                    **common,
                    protocol="hle",
                    provider="vllm",
                    model="judge-model",
                    duration_ms=judge,
                    correct=True,
                    confidence=80.0,
                    confidence_stated=True,
                ),
            )
        self.emit(
            at,
            ToolCall(
                **common,
                tool=tool,
                alias=alias,
                provider="vllm",
                model="expert-one",
                duration_ms=own,
                duration_total_ms=total,
                status="failed" if broken else "ok",
                error_type="server_error" if broken else None,
                **parts,
            ),
        )
        turn.tool_ms = round(total, 3)
        return turn, at


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """make_run(name, n=…, …) writes a run folder and returns its path."""

    def make(name: str = "run-a", **options: Any) -> Path:
        return RunMaker(tmp_path / "runs" / name, **options).write()

    return make


def write_events(folder: Path, events: list[Event | bytes]) -> Path:
    """A run folder whose events.jsonl holds these, one a line, mono_ms counting up by 1,000 each; bytes as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.jsonl").open("wb") as log:
        for at, event in enumerate(events):
            if isinstance(event, bytes):
                log.write(event)
                continue
            line = event_to_json(event) | {"ts": START.isoformat(), "level": "INFO", "mono_ms": at * 1000.0}
            log.write(json.dumps(line).encode() + b"\n")
    return folder


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[[list[Event | bytes]], Path]:
    return lambda events: write_events(tmp_path / "logged", events)


@pytest.fixture(scope="session")
def generator() -> Any:
    """bench/generate_log.py as a module."""
    path = Path(__file__).parents[2] / "bench" / "generate_log.py"
    spec = importlib.util.spec_from_file_location("podium_bench_generate_log", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generated_run(generator: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 tasks in two segments, cut off in the middle of the first; read-only."""
    folder = tmp_path_factory.mktemp("runs") / "generated"
    generator.generate_run(folder, generator.Shape(tasks=80, seed=3, segments=2, concurrency=16, run_id="generated"))
    return folder
