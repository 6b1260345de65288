"""Writes a run folder as podium-eval would leave it, of any size: run.json, events.jsonl, tasks/, samples.jsonl.

For the analysis's benchmarks, its tests and nobody else: every number in it is drawn from a seeded generator, and
run.json says so. Tasks run through a simulated pool of CONCURRENCY slots, so events interleave and times are in order;
vLLM's counters in samples.jsonl are the sums of the calls written. Memory does not grow with the size asked for.

    python bench/generate_log.py --out runs/synthetic --tasks 2500 --seed 7
    python bench/generate_log.py --out /tmp/million --events 1000000 --mean-rounds 20 --no-records
"""

import argparse
import hashlib
import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import orjson
from podium_contracts.events import (
    SCHEMA_VERSION,
    Breaker,
    Event,
    Judge,
    Limit,
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

INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
"""As eval writes task records."""
LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
EXPERTS: dict[str, tuple[str, str, float | None]] = {
    "search-1": ("openai", "gpt-5", 1.9),
    "search-2": ("openai", "gpt-5-mini", 0.4),
    "search-3": ("vllm", "Qwen/Qwen3-32B", None),
    "reasoner-1": ("openai", "gpt-5", 1.9),
    "reasoner-2": ("openai", "gpt-5-mini", 0.4),
    "reasoner-3": ("together", "Qwen/Qwen2.5-Coder-32B-Instruct", 0.8),
    "answer-1": ("openai", "gpt-5", 1.9),
    "answer-2": ("openai", "gpt-5-mini", 0.4),
    "answer-3": ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 0.88),
    "answer-4": ("vllm", "Qwen/Qwen3-32B", None),
    "answer-math-1": ("together", "Qwen/Qwen2.5-Math-72B-Instruct", 1.2),
    "answer-math-2": ("nebius", "Qwen/Qwen2.5-Math-7B-Instruct", 0.2),
}
ORCHESTRATOR = "nvidia/Nemotron-Orchestrator-8B"
SERVER = "http://127.0.0.1:1406/v1"
SUBJECTS = ("arithmetic", "geometry", "chemistry", "history of science", "linguistics", "computing")
VOCABULARY = (
    "carbon orbit prime tensor valley copper index river lattice enzyme vowel matrix comet granite sonnet quorum "
    "meadow isotope cipher harbor axiom pollen glacier modem falcon syntax amber turbine ledger saffron"
)
WORDS = VOCABULARY.split()
STARTED = datetime(2026, 8, 1, 9, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shape:
    """What to write. mean_rounds: of a geometric distribution, cut at max_rounds. Rates are shares of 0 to 1."""

    tasks: int | None = 100
    events: int | None = None
    """Stop taking tasks when this many events are written or owed (about 1% more may be written)."""
    seed: int = 0
    run_id: str = "synthetic"
    concurrency: int = 64
    mean_rounds: float = 6.0
    max_rounds: int = 50
    epochs: int = 1
    protocol: str = "hle"
    accuracy: float = 0.35
    task_error_rate: float = 0.02
    tool_failure_rate: float = 0.03
    invalid_rate: float = 0.02
    segments: int = 1
    """2 or more: the run is cut off part-way and resumed; tasks in flight at the cut are taken again."""
    records: bool = True
    samples: bool = True


@dataclass(slots=True)
class Counters:
    """vLLM's cumulative counters, as samples.jsonl carries them."""

    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generation_tokens: int = 0
    retrieval_requests: int = 0

    def add(self, event: Event) -> None:
        """What the services counted for a call that has ended."""
        if isinstance(event, LlmCall) and event.role == "orchestrator":
            self.queue_s += (event.queue_ms or 0.0) / 1e3
            self.prefill_s += (event.prefill_ms or 0.0) / 1e3
            self.decode_s += (event.decode_ms or 0.0) / 1e3
            self.requests += 1
            self.prompt_tokens += event.prompt_tokens or 0
            self.cached_tokens += event.cached_tokens or 0
            self.generation_tokens += event.completion_tokens or 0
        elif isinstance(event, ToolCall) and event.retrieval_ms is not None:
            self.retrieval_requests += 1

    def reset(self) -> None:
        """What a restarted server does."""
        self.__init__()


@dataclass(slots=True)
class Totals:
    """What was written."""

    events: int = 0
    tasks: int = 0
    done: int = 0
    errors: int = 0
    bytes: int = 0
    duration_ms: float = 0.0
    counts: dict[str, int] = field(default_factory=dict[str, int])


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


class Simulation:
    """Draws tasks and interleaves their events. `rng` is one stream, so equal shapes give equal folders."""

    def __init__(self, shape: Shape, folder: Path) -> None:
        self.shape = shape
        self.folder = folder
        self.rng = random.Random(shape.seed)
        self.counters = Counters()
        self.totals = Totals()
        self.segment = 1
        self.load = 0.0
        self.offset = 0.0

    # one task

    def episode(self, eid: int, epoch: int, start_ms: float, attempt: int) -> Iterator[tuple[float, Event]]:
        """The events of one task as (mono_ms at which it is written, event), in order of time."""
        rng, shape = self.rng, self.shape
        task_id = f"q{eid:06d}"
        ids: dict[str, Any] = {
            "run_id": shape.run_id, "task_id": task_id, "eid": eid, "epoch": epoch, "segment": self.segment,
        }  # fmt: skip
        now = start_ms
        yield now, TaskStart(**ids, attempt=attempt)
        rounds = min(shape.max_rounds, 1 + int(rng.expovariate(1.0 / max(0.1, shape.mean_rounds - 1.0))))
        hard = rng.lognormvariate(0.0, 0.35)
        context = 900.0 + 200.0 * rng.random()
        cached = 0
        cost, unpriced, invalid = 0.0, 0, 0
        doomed = rng.random() < shape.task_error_rate
        turns: list[Turn] = []
        answer: str | None = None
        correct: bool | None = None
        confidence: float | None = None
        judgement: Judgement | None = None
        error_type: str | None = None
        ending = "round_limit"
        for step in range(1, rounds + 1):
            prompt = int(context)
            completion = 20 + int(rng.expovariate(1 / 60.0))
            queue = rng.expovariate(1 / (2.0 + 60.0 * self.load)) if rng.random() < 0.8 else 0.0
            prefill = (prompt - cached) * 0.045 * rng.uniform(0.85, 1.25) + 8.0
            itl = rng.uniform(7.0, 9.0) * (1 + 2.5 * self.load)
            decode = itl * max(1, completion - 1)
            overhead = 3.0 + rng.expovariate(1 / (4.0 + 10.0 * self.load))
            retry = 1000.0 * rng.random() if rng.random() < 0.01 else 0.0
            duration = queue + prefill + decode + overhead
            now += retry + duration
            yield now, LlmCall(
                **ids, step=step, role="orchestrator", provider="vllm", model=ORCHESTRATOR, server=SERVER,
                duration_ms=round(duration, 3), queue_ms=round(queue, 3), prefill_ms=round(prefill, 3),
                decode_ms=round(decode, 3), itl_ms=round(itl, 4), overhead_ms=round(overhead, 3),
                wait_ms=round(retry, 3), retry_ms=round(retry, 3), prompt_tokens=prompt, cached_tokens=cached,
                completion_tokens=completion, timing_source="server", attempts=2 if retry else 1,
                finish_reason="tool_calls", cost_usd=0.0,
            )  # fmt: skip
            cached = (prompt // 16) * 16 if rng.random() < 0.9 else 0
            turn_base: dict[str, Any] = {
                "step": step, "orchestrator_ms": round(duration, 3), "queue_ms": round(queue, 3),
                "prefill_ms": round(prefill, 3), "decode_ms": round(decode, 3), "prompt_tokens": prompt,
                "cached_tokens": cached, "completion_tokens": completion, "content": None,
                "reasoning": text(rng, 20) if shape.records else None,
            }  # fmt: skip
            if doomed and step == rounds:
                error_type = rng.choice(("timeout", "connection", "server_error", "rate_limit"))
                ending = "error"
                break
            if rng.random() < shape.invalid_rate:
                invalid += 1
                took = rng.uniform(0.02, 0.4)
                now += took
                yield now, ToolCall(
                    **ids, step=step, tool=rng.choice(("", "browse", "answer")), duration_ms=round(took, 3),
                    duration_total_ms=round(took, 3), status="invalid", error_type="bad_request",
                    error_message="no such tool or model",
                )  # fmt: skip
                turns.append(Turn(**turn_base, tool="browse", status="invalid", tool_ms=round(took, 3)))
                continue
            tool = "answer" if step == rounds else rng.choices(("search", "enhance_reasoning"), (0.6, 0.4))[0]
            prefix = {"search": "search-", "enhance_reasoning": "reasoner-", "answer": "answer"}[tool]
            alias = rng.choice([a for a in EXPERTS if a.startswith(prefix)])
            provider, model, price = EXPERTS[alias]
            failed = tool != "answer" and rng.random() < shape.tool_failure_rate
            began = now
            expert_completion = 30 + int(rng.lognormvariate(5.2 if tool != "search" else 3.4, 0.8))
            expert_prompt = int(context * rng.uniform(0.8, 1.1))
            expert_duration = hard * (250.0 + expert_completion * rng.uniform(9.0, 22.0))
            limiter = rng.expovariate(1 / 400.0) * self.load if rng.random() < 0.3 else 0.0
            tokens = expert_prompt + 4 * expert_completion
            call_cost = None if price is None else round(tokens * price / 1e6, 8)
            call_error = rng.choice(("timeout", "rate_limit", "server_error")) if failed else None
            now += limiter + expert_duration
            yield now, LlmCall(
                **ids, step=step, role="expert", tool=tool, alias=alias, provider=provider, model=model,
                server=f"https://{provider}.example/v1", duration_ms=round(expert_duration, 3),
                wait_ms=round(limiter, 3), limiter_ms=round(limiter, 3),
                prompt_tokens=None if failed else expert_prompt,
                completion_tokens=None if failed else expert_completion,
                timing_source="client", attempts=3 if failed else 1, finish_reason=None if failed else "stop",
                cost_usd=None if failed else call_cost, token_count="estimate",
                error_type=call_error, error_message="the server answered 503" if failed else None,
            )  # fmt: skip
            if not failed:
                if call_cost is None:
                    unpriced += 1
                else:
                    cost += call_cost
            expert_ms = now - began
            tool_fields: dict[str, Any] = {
                "tool": tool, "alias": alias, "provider": provider, "model": model, "expert_ms": round(expert_ms, 3),
                "status": "failed" if failed else "ok", "error_type": call_error,
                "error_message": "the expert failed" if failed else None,
            }  # fmt: skip
            turn = Turn(**turn_base, tool=tool, alias=alias, provider=provider, model=model,
                        status="failed" if failed else "ok", error_type=call_error)  # type: ignore[arg-type]  # fmt: skip
            if tool == "search":
                tool_fields["query_ms"] = round(expert_ms, 3)
                if not failed:
                    r_queue, r_encode, r_search = rng.expovariate(1 / 30.0), rng.uniform(25, 90), rng.uniform(0.8, 3.0)
                    web = rng.uniform(800, 9000) if rng.random() < 0.02 else None
                    retrieval = r_queue + r_encode + r_search + rng.uniform(2, 6) + (web or 0.0)
                    now += retrieval
                    found, new = rng.randint(0, 10), rng.randint(0, 5)
                    tool_fields |= {
                        "retrieval_ms": round(retrieval, 3), "retrieval_queue_ms": round(r_queue, 3),
                        "retrieval_encode_ms": round(r_encode, 3), "retrieval_search_ms": round(r_search, 3),
                        "web_ms": None if web is None else round(web, 3), "retrieval_batch_size": rng.randint(1, 32),
                        "n_documents": found, "n_new_documents": min(found, new),
                    }  # fmt: skip
                    context += 90 * min(found, new)
                    if shape.records:
                        turn.query = text(rng, 8)
                        turn.documents = [
                            {"id": str(rng.randrange(10**6)), "title": text(rng, 3), "contents": text(rng, 80),
                             "score": round(rng.uniform(0.2, 0.9), 4), "source": "corpus", "url": None}
                            for _ in range(min(found, new))
                        ]  # fmt: skip
            elif tool == "enhance_reasoning":
                if not failed:
                    execution = 60_000.0 if rng.random() < 0.01 else rng.lognormvariate(4.5, 1.0)
                    now += execution
                    status = "timeout" if execution >= 60_000 else rng.choices(("ok", "error"), (0.85, 0.15))[0]
                    tool_fields |= {"exec_ms": round(execution, 3), "exec_status": status}
                    context += 120 + rng.expovariate(1 / 200.0)
                    if shape.records:
                        turn.code = f"values = range({rng.randrange(100)})\nprint(sum(values))  # {text(rng, 12)}\n"
                        turn.stdout, turn.exec_status, turn.exit_code = f"{rng.randrange(5000)}\n", status, 0
            else:
                ending = "answered"
                stated = rng.random() < 0.85
                confidence = float(rng.randrange(20, 101, 5)) if stated else None
                answer = text(rng, 2)
                correct = rng.random() < shape.accuracy
                exact = correct and rng.random() < 0.3
                judge_failed = rng.random() < 0.01
                if judge_failed:
                    correct = None
                judge_ms = 0.2
                if not exact:
                    judge_ms = rng.lognormvariate(7.4, 0.4)
                    judge_cost = round(rng.uniform(0.0008, 0.003), 8)
                    now += judge_ms
                    cost += judge_cost
                    yield now, LlmCall(
                        **ids, step=step, role="judge", tool="answer", provider="openai", model="o3-mini-2025-01-31",
                        server="https://openai.example/v1", duration_ms=round(judge_ms, 3), prompt_tokens=700,
                        completion_tokens=None if judge_failed else rng.randint(150, 600), timing_source="client",
                        finish_reason=None if judge_failed else "stop", cost_usd=None if judge_failed else judge_cost,
                        error_type="server_error" if judge_failed else None,
                    )  # fmt: skip
                yield now, Judge(
                    **ids, step=step, protocol=shape.protocol, provider=None if exact else "openai",
                    model=None if exact else "o3-mini-2025-01-31", duration_ms=round(judge_ms, 3), correct=correct,
                    confidence=confidence if confidence is not None else 100.0, confidence_stated=stated,
                    method="exact_match" if exact else "model", error_type="judge_error" if judge_failed else None,
                )  # type: ignore[arg-type]  # fmt: skip
                tool_fields["judge_ms"] = round(judge_ms, 3)
                judgement = Judgement(
                    protocol=shape.protocol, provider="openai", model="o3-mini-2025-01-31",
                    method="exact_match" if exact else "model", correct=correct, extracted_answer=answer,
                    reasoning=text(rng, 25) if shape.records else None, confidence=confidence,
                    confidence_stated=stated, ts=self.stamp(now),
                )  # type: ignore[arg-type]  # fmt: skip
                turn.response = text(rng, 60) if shape.records else None
            now += rng.uniform(0.1, 1.5)
            total = now - began
            turn.tool_ms = round(total, 3)
            own = total if tool != "answer" else expert_ms
            yield now, ToolCall(
                **ids, step=step, duration_ms=round(own, 3), duration_total_ms=round(total, 3), **tool_fields
            )  # fmt: skip
            turns.append(turn)
        now += rng.uniform(0.1, 2.0)
        status = "error" if ending == "error" else "done"
        common: dict[str, Any] = {
            "status": status, "ending": ending, "correct": correct, "confidence": confidence, "rounds": len(turns),
            "invalid_turns": invalid, "duration_ms": round(now - start_ms, 3), "cost_usd": round(cost, 8),
            "n_unpriced": unpriced, "error_type": error_type, "answer_type": "exactMatch", "category": "Synthetic",
            "subject": SUBJECTS[eid % len(SUBJECTS)], "has_image": False,
            "error_message": "gave up after 5 attempts" if error_type else None,
        }  # fmt: skip
        if self.shape.records:
            key = task_key(task_id, epoch)
            record = TaskRecord(
                run_id=shape.run_id, key=key, task_id=task_id, epoch=epoch, eid=eid, question=text(rng, 30) + "?",
                gold_answer=text(rng, 2), answer=answer, answer_text=turns[-1].response if turns else None,
                answer_alias=turns[-1].alias if answer and turns else None,
                answer_model=turns[-1].model if answer and turns else None,
                judgements=[judgement] if judgement else [], turns=turns, attempts=attempt, segment=self.segment,
                started_ts=self.stamp(start_ms), finished_ts=self.stamp(now), **common,
            )  # fmt: skip
            (self.folder / "tasks" / f"{key}.json").write_bytes(orjson.dumps(record.to_json(), option=INDENTED))
        yield now, TaskComplete(**ids, step=len(turns), **common)

    # the run

    def stamp(self, mono_ms: float) -> str:
        moment = STARTED + timedelta(milliseconds=self.offset + mono_ms)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def line(self, mono_ms: float, event: Event) -> bytes:
        body = event_to_json(event)
        body["ts"] = self.stamp(mono_ms)
        body["level"] = LEVEL_NAMES[event.LEVEL]
        body["mono_ms"] = round(mono_ms, 3)
        kind = body["type"]
        self.totals.counts[kind] = self.totals.counts.get(kind, 0) + 1
        self.totals.events += 1
        data = orjson.dumps(body) + b"\n"
        self.totals.bytes += len(data)
        return data

    def queue(self) -> Iterator[tuple[int, int]]:
        """(eid, epoch) of each task to take, until the shape says enough."""
        taken = 0
        questions = None if self.shape.tasks is None else self.shape.tasks
        epoch = 1
        while True:
            eid = 0
            while questions is None or eid < questions:
                if self.shape.events is not None and self.totals.events + self.owed >= self.shape.events:
                    return
                yield eid, epoch
                taken += 1
                eid += 1
            epoch += 1
            if epoch > self.shape.epochs and self.shape.events is None:
                return

    owed = 0.0

    def write(self) -> Totals:
        """Write the folder and return what it holds."""
        shape = self.shape
        self.folder.mkdir(parents=True, exist_ok=True)
        if shape.records:
            (self.folder / "tasks").mkdir(exist_ok=True)
        todo = self.queue()
        left: list[tuple[int, int, int]] = []
        n_tasks = (shape.tasks or 0) * shape.epochs
        segments: list[dict[str, Any]] = []
        finished = 0
        cut = None if shape.segments < 2 else max(1, n_tasks // shape.segments)
        with (self.folder / "events.jsonl").open("wb") as log, (self.folder / "samples.jsonl").open("w") as samples:
            for segment in range(1, shape.segments + 1):
                self.segment = segment
                last = segment == shape.segments
                log.write(self.line(0.0, RunStart(
                    run_id=shape.run_id, segment=segment, protocol=shape.protocol, concurrency=shape.concurrency,
                    max_rounds=shape.max_rounds, n_tasks=n_tasks, n_finished=finished,
                    dataset_sha256=hashlib.sha256(b"synthetic").hexdigest(), orchestrator_model=ORCHESTRATOR,
                )))  # type: ignore[arg-type]  # fmt: skip
                end, ended, left = self.run_segment(log, samples, todo, left, None if last else cut)
                finished += ended
                segments.append({
                    "n": segment, "started_ts": self.stamp(0.0), "ended_ts": self.stamp(end),
                    "reason": "finished" if last else None,
                })  # fmt: skip
                if last:
                    log.write(self.line(end, RunEnd(
                        run_id=shape.run_id, segment=segment, reason="finished", duration_ms=round(end, 3),
                        n_done=self.totals.done, n_error=self.totals.errors, n_skipped=0, n_left=0,
                    )))  # fmt: skip
                self.offset += end + 60_000.0
                self.totals.duration_ms += end
                self.counters.reset()
        if not shape.samples:
            (self.folder / "samples.jsonl").unlink()
        (self.folder / "run.json").write_text(json.dumps(self.manifest(segments), indent=1), encoding="utf-8")
        return self.totals

    def run_segment(
        self,
        log: BinaryIO,
        samples: TextIO,
        todo: Iterator[tuple[int, int]],
        first: list[tuple[int, int, int]],
        cut: int | None,
    ) -> tuple[float, int, list[tuple[int, int, int]]]:
        """One segment: returns its length in ms, how many tasks ended, and the tasks in flight at the cut."""
        shape = self.shape
        heap: list[tuple[float, int, Event, Iterator[tuple[float, Event]], tuple[int, int, int]]] = []
        serial, now, ended, next_sample = 0, 0.0, 0, 1000.0
        again = list(reversed(first))
        mean_events = 3.0 * shape.mean_rounds + 4.0

        def take(at: float) -> bool:
            nonlocal serial
            if again:
                eid, epoch, attempt = again.pop()
            else:
                following = next(todo, None)
                if following is None:
                    return False
                eid, epoch, attempt = *following, 1
            stream = self.episode(eid, epoch, at, attempt)
            moment, event = next(stream)
            serial += 1
            self.owed = (len(heap) + 1) * mean_events
            heapq.heappush(heap, (moment, serial, event, stream, (eid, epoch, attempt)))
            return True

        for slot in range(shape.concurrency):
            if not take(slot * 2.0):
                break
        limit_at = 30_000.0
        while heap:
            now, number, event, stream, task = heap[0]
            while shape.samples and now >= next_sample:
                self.sample(samples, next_sample, len(heap))
                next_sample += 1000.0
            if now >= limit_at:
                limit_at += 600_000.0
                log.write(self.line(now, Limit(
                    run_id=shape.run_id, segment=self.segment, provider="together", limit=32, previous=64, in_flight=40,
                    reason="429",
                )))  # fmt: skip
                log.write(self.line(now, Breaker(
                    run_id=shape.run_id, segment=self.segment, service="retrieval", state="open", reason="5 failures",
                    waiting=3,
                )))  # fmt: skip
            log.write(self.line(now, event))
            self.counters.add(event)
            if isinstance(event, TaskComplete):
                self.totals.tasks += 1
                ended += 1
                if event.status == "error":
                    self.totals.errors += 1
                else:
                    self.totals.done += 1
            following = next(stream, None)
            if following is None:
                heapq.heappop(heap)
                self.load = len(heap) / max(1, shape.concurrency)
                if cut is not None and ended >= cut:
                    break
                take(now)
            else:
                heapq.heapreplace(heap, (following[0], number, following[1], stream, task))
            self.load = min(1.0, len(heap) / 512)
        return now, ended, [(eid, epoch, attempt + 1) for *_, (eid, epoch, attempt) in heap]

    def sample(self, out: TextIO, mono_ms: float, in_flight: int) -> None:
        counters, rng = self.counters, self.rng
        waiting = max(0, int(in_flight * 0.4 * rng.uniform(0.6, 1.2)) - 20)
        out.write(json.dumps({
            "ts": self.stamp(mono_ms), "mono_ms": mono_ms, "segment": self.segment, "in_flight": in_flight,
            "loop_lag_ms": round(rng.expovariate(1 / 1.5), 3),
            "vllm": {
                "running": min(in_flight, 256), "waiting": waiting,
                "kv_use": round(min(1.0, 0.0015 * in_flight * rng.uniform(0.9, 1.1)), 4), "preemptions_total": 0,
                "queue_s_sum": round(counters.queue_s, 6), "prefill_s_sum": round(counters.prefill_s, 6),
                "decode_s_sum": round(counters.decode_s, 6), "requests_total": counters.requests,
                "prompt_tokens_total": counters.prompt_tokens, "cached_tokens_total": counters.cached_tokens,
                "generation_tokens_total": counters.generation_tokens,
            },
            "retrieval": {
                "queue": waiting // 4, "batch_size": rng.randint(1, 32), "requests_total": counters.retrieval_requests,
            },
        }) + "\n")  # fmt: skip

    def manifest(self, segments: list[dict[str, Any]]) -> dict[str, Any]:
        shape = self.shape
        return {
            "run_id": shape.run_id, "schema_version": SCHEMA_VERSION, "created_ts": self.stamp(-self.offset),
            "synthetic": "every number in this folder was drawn by bench/generate_log.py",
            "protocol": shape.protocol, "epochs": shape.epochs,
            "settings": {"concurrency": shape.concurrency, "max_rounds": shape.max_rounds, "seed": shape.seed},
            "dataset": {"path": "synthetic.jsonl", "sha256": hashlib.sha256(b"synthetic").hexdigest(),
                        "n": shape.tasks, "n_selected": shape.tasks},
            "prompts": {"orchestrator.txt": hashlib.sha256(b"prompt").hexdigest()},
            "experts": {alias: {"provider": p, "model": m, "addresses": [f"https://{p}.example/v1"]}
                        for alias, (p, m, _) in EXPERTS.items()},
            "judge": {"provider": "openai", "model": "o3-mini-2025-01-31"},
            "orchestrator": {"model": ORCHESTRATOR, "url": SERVER}, "versions": {"podium": "0.1.0"},
            "git_revision": None, "host": {"cpus": 2}, "gpus": [], "prices": {}, "segments": segments,
        }  # fmt: skip


def generate_run(folder: Path, shape: Shape) -> Totals:
    """Write a run folder of the given shape; the same shape gives the same bytes."""
    return Simulation(shape, folder).write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="the run folder to write")
    parser.add_argument("--tasks", type=int, default=None, help="questions; default 100, or 2,500 with --events")
    parser.add_argument("--events", type=int, default=None, help="go on, epoch after epoch, to about this many events")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--mean-rounds", type=float, default=6.0)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--segments", type=int, default=1)
    parser.add_argument("--run-id", default=None, help="default: the folder's name")
    parser.add_argument("--no-records", action="store_true", help="write no tasks/")
    options = parser.parse_args()
    shape = Shape(
        tasks=options.tasks or (2500 if options.events else 100), events=options.events, seed=options.seed,
        concurrency=options.concurrency, mean_rounds=options.mean_rounds, epochs=options.epochs,
        segments=options.segments, run_id=options.run_id or options.out.name, records=not options.no_records,
    )  # fmt: skip
    totals = generate_run(options.out, shape)
    print(f"{options.out}: {totals.events:,} events, {totals.tasks:,} tasks, {totals.bytes / 1e6:,.1f} MB of events")


if __name__ == "__main__":
    main()
