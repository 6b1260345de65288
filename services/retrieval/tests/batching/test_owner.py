"""The owner's thread: each job resolved exactly once, whatever happens to its batch, its caller or the service."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from podium_retrieval.batching.batch_worker import Owner
from podium_retrieval.batching.engine import BatchResult
from podium_retrieval.batching.policy import Budget
from podium_retrieval.batching.worker import Candidates, Job
from podium_retrieval.encoder.embedder import Encoded, Encoding, Prepared
from podium_retrieval.errors import Refusal

BUDGET = Budget(queries=8, tokens=1000, packed=True, max_age_s=1.0)


class Gated:
    """An engine that a test can hold, and that fails on the payload 'bad'."""

    def __init__(self, overlaps: bool = False) -> None:
        self.overlaps = overlaps
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.begun: list[list[Any]] = []
        self.second_begun = threading.Event()
        self.batches: list[list[Any]] = []
        self.inside = 0
        self.most_inside = 0
        self.error: BaseException = RuntimeError("broken device")

    def begin(self, batch: Sequence[Prepared]) -> Encoding:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        assert self.inside <= (2 if self.overlaps else 1), "entered too often at once"
        payloads = [one.payload for one in batch]
        self.begun.append(payloads)
        if self.inside == 2:
            self.second_begun.set()
        if "refused" in payloads:
            self.inside -= 1
            raise self.error
        return Held(self, payloads)

    def finish(self, batch: Encoding) -> BatchResult:
        self.entered.set()
        try:
            n = len(batch.wait().vectors)
            return BatchResult(np.ones((n, 3), np.float32), np.zeros((n, 3), np.int64), 0.01, 0.02)
        finally:
            self.inside -= 1

    def run(self, batch: Sequence[Prepared]) -> BatchResult:
        return self.finish(self.begin(batch))


@dataclass
class Held:
    """A batch in the gated engine."""

    engine: Gated
    payloads: list[Any]

    def ready(self) -> bool:
        self.engine.entered.set()  # the owner looks here while a full batch is in the encoder
        return self.engine.gate.is_set()

    def wait(self) -> Encoded:
        assert self.engine.gate.wait(30)
        self.engine.batches.append(self.payloads)
        if "bad" in self.payloads:
            raise self.engine.error
        return Encoded(np.ones((len(self.payloads), 4), np.float32), 1.0)


def job(payload: Any = "good", n_tokens: int = 10, seconds: float = 30, finish: Any = None) -> Job:
    return Job(Prepared(n_tokens, payload), finish or (lambda found: found.batch_size), time.monotonic() + seconds)


@pytest.fixture(params=[False, True], ids=["in-turn", "overlapping"])
def engine(request: pytest.FixtureRequest) -> Gated:
    return Gated(overlaps=request.param)


@pytest.fixture
def owner(engine: Gated) -> Any:
    made = Owner(engine, BUDGET, queue_limit=20, watchdog_s=0.05)
    made.start()
    yield made
    engine.gate.set()
    made.stop(10)


def hold(owner: Owner, engine: Gated) -> Job:
    """A job in the engine, so that all that follows waits."""
    engine.gate.clear()
    engine.entered.clear()
    first = job("first")
    owner.submit([first])
    assert engine.entered.wait(10)
    return first


def refusal(one: Job) -> Refusal:
    error = one.future.exception(10)
    assert isinstance(error, Refusal)
    return error


def test_what_waits_is_served_together(owner: Owner, engine: Gated) -> None:
    first = hold(owner, engine)
    jobs = [job() for _ in range(5)]
    for one in jobs:
        owner.submit([one])
    engine.gate.set()
    assert [one.future.result(10) for one in jobs] == [5] * 5
    assert first.future.result(10) == 1


def test_a_failed_batch_fails_its_own_and_the_next_runs(owner: Owner, engine: Gated) -> None:
    hold(owner, engine)
    failing = [job("bad"), job("good")]
    owner.submit(failing)
    engine.gate.set()
    assert [refusal(one).type for one in failing] == ["batch_failed"] * 2
    assert "broken device" in refusal(failing[0]).message
    after = job()
    owner.submit([after])
    assert after.future.result(10) == 1


def test_a_wrong_number_of_results_fails_the_batch(owner: Owner, engine: Gated) -> None:
    def short(batch: Encoding) -> BatchResult:
        return BatchResult(np.ones((0, 3), np.float32), np.zeros((0, 3), np.int64), 1.0, 2.0)

    engine.finish = short  # type: ignore[method-assign]
    one = job()
    owner.submit([one])
    assert refusal(one).type == "batch_failed"


def test_an_answer_that_cannot_be_put_together_fails_alone(owner: Owner, engine: Gated) -> None:
    def break_(_: Candidates) -> None:
        raise ValueError("no such document")

    hold(owner, engine)
    bad, good = job(finish=break_), job()
    owner.submit([bad])
    owner.submit([good])
    engine.gate.set()
    assert refusal(bad).type == "document_failed"
    assert good.future.result(10) == 2


def test_a_caller_who_left_costs_nothing(owner: Owner, engine: Gated) -> None:
    hold(owner, engine)
    gone, stays = job("gone"), job("stays")
    owner.submit([gone, stays])
    owner.cancel([gone])
    engine.gate.set()
    assert stays.future.result(10) == 1
    assert ["stays"] in engine.batches
    assert gone.future.cancelled()


def test_a_deadline_that_passed_while_waiting_is_told(owner: Owner, engine: Gated) -> None:
    hold(owner, engine)
    late = job("late", seconds=-1)
    owner.submit([late])
    engine.gate.set()
    assert refusal(late).type == "deadline"
    assert not any("late" in batch for batch in engine.batches)


def test_a_full_queue_refuses_all_of_a_request_or_none(owner: Owner, engine: Gated) -> None:
    hold(owner, engine)
    owner.submit([job() for _ in range(19)])
    with pytest.raises(Refusal) as caught:
        owner.submit([job(), job()])
    assert caught.value.type == "queue_full"
    assert caught.value.retry_after_s
    assert owner.depth == 19
    owner.submit([job()])


def test_stopping_refuses_who_waits_and_finishes_what_runs(owner: Owner, engine: Gated) -> None:
    first = hold(owner, engine)
    waits = [job() for _ in range(3)]
    owner.submit(waits)
    stopper = threading.Thread(target=owner.stop, args=(10,))
    stopper.start()
    assert [refusal(one).type for one in waits] == ["shutting_down"] * 3
    assert not first.future.done()
    engine.gate.set()
    stopper.join(10)
    assert first.future.result(0) == 1
    with pytest.raises(Refusal, match="shutting down"):
        owner.submit([job()])


def test_a_stuck_batch_is_trouble_until_it_ends(owner: Owner, engine: Gated) -> None:
    assert owner.trouble() is None
    first = hold(owner, engine)
    until = time.monotonic() + 10
    while owner.trouble() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert "running for" in (owner.trouble() or "")
    engine.gate.set()
    first.future.result(10)
    after = job()
    owner.submit([after])
    after.future.result(10)
    while owner.trouble() is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert owner.trouble() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_owner_is_trouble_and_leaves_nobody_waiting(owner: Owner, engine: Gated) -> None:
    engine.error = SystemExit("gone")
    hold(owner, engine)
    taken = [job("bad")] + [job() for _ in range(7)]
    waits = [job() for _ in range(4)]
    owner.submit(taken)
    owner.submit(waits)
    engine.gate.set()
    assert {refusal(one).type for one in taken} == {"batch_failed"}
    assert {refusal(one).type for one in waits} == {"owner_dead"}
    until = time.monotonic() + 10
    while owner.trouble() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert owner.trouble() == "the search thread is dead"
    with pytest.raises(Refusal, match="died"):
        owner.submit([job()])


def test_waiting_for_more_fills_a_batch(engine: Gated) -> None:
    owner = Owner(engine, BUDGET, queue_limit=20, watchdog_s=60, wait_s=30)
    owner.start()
    jobs = [job() for _ in range(8)]
    for one in jobs:
        owner.submit([one])
    assert [one.future.result(10) for one in jobs] == [8] * 8
    owner.stop(10)


def test_many_threads_get_each_their_own_answer_once(owner: Owner, engine: Gated) -> None:
    seen: list[int] = []

    def ask(number: int) -> None:
        for turn in range(20):
            mine = job(finish=lambda _, number=number, turn=turn: number * 100 + turn)
            while True:
                try:
                    owner.submit([mine])
                    break
                except Refusal:
                    time.sleep(0.001)
            assert mine.future.result(20) == number * 100 + turn
            seen.append(number * 100 + turn)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == len(set(seen)) == 320


@pytest.fixture
def ahead() -> Any:
    """An owner of an overlapping engine, and 8 + 8 + 4 jobs: a batch in the encoder, one begun early, a rest."""
    engine = Gated(overlaps=True)
    owner = Owner(engine, BUDGET, queue_limit=30, watchdog_s=60)
    engine.gate.clear()
    jobs = [job(f"{at // 8}") for at in range(20)]
    owner.start()
    yield engine, owner, jobs
    engine.gate.set()
    owner.stop(10)


def test_one_full_batch_is_begun_while_the_encoder_works(ahead: Any) -> None:
    engine, owner, jobs = ahead
    owner.submit(jobs)
    assert engine.second_begun.wait(10)
    assert engine.batches == []  # nothing is finished yet
    engine.gate.set()
    assert [one.future.result(10) for one in jobs] == [8] * 16 + [4] * 4
    assert engine.begun == engine.batches == [["0"] * 8, ["1"] * 8, ["2"] * 4]
    assert engine.most_inside == 2


def test_a_batch_that_is_not_full_waits_for_the_encoder() -> None:
    engine = Gated(overlaps=True)
    owner = Owner(engine, BUDGET, queue_limit=30, watchdog_s=60)
    engine.gate.clear()
    jobs = [job() for _ in range(13)]
    owner.start()
    owner.submit(jobs)
    assert engine.entered.wait(10)  # the owner watches the encoder, with five waiting
    joined = job()
    owner.submit([joined])
    engine.gate.set()
    assert [one.future.result(10) for one in jobs] == [8] * 8 + [6] * 5
    assert joined.future.result(10) == 6
    assert engine.most_inside == 1
    owner.stop(10)


@pytest.mark.parametrize("payload", ["bad", "refused"])
def test_a_batch_begun_early_that_fails_fails_alone(payload: str) -> None:
    engine = Gated(overlaps=True)
    owner = Owner(engine, BUDGET, queue_limit=30, watchdog_s=60)
    engine.gate.clear()
    jobs = [job(payload if at == 8 else "good") for at in range(24)]
    owner.start()
    owner.submit(jobs)
    assert engine.second_begun.wait(10)
    engine.gate.set()
    assert [one.future.result(10) for one in (*jobs[:8], *jobs[16:])] == [8] * 16
    assert {refusal(one).type for one in jobs[8:16]} == {"batch_failed"}
    owner.stop(10)


def test_stopping_finishes_both_batches_in_the_encoder(ahead: Any) -> None:
    engine, owner, jobs = ahead
    owner.submit(jobs)
    assert engine.second_begun.wait(10)
    stopping = threading.Thread(target=owner.stop, args=(10,))
    stopping.start()
    assert {refusal(one).type for one in jobs[16:]} == {"shutting_down"}
    engine.gate.set()
    stopping.join(10)
    assert [one.future.result(0) for one in jobs[:16]] == [8] * 16


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_owner_that_dies_leaves_no_early_batch_waiting(ahead: Any) -> None:
    engine, owner, jobs = ahead
    engine.error = SystemExit("gone")
    jobs[0].query = Prepared(10, "bad")
    owner.submit(jobs)
    assert engine.second_begun.wait(10)
    engine.gate.set()
    assert {refusal(one).type for one in jobs[:8]} == {"batch_failed"}
    assert {refusal(one).type for one in jobs[8:]} == {"owner_dead"}


def test_an_early_jobs_parts_sum_to_its_time(ahead: Any) -> None:
    engine, owner, jobs = ahead
    seen: list[tuple[Candidates, float]] = []
    late = jobs[15]
    late.finish = lambda found: seen.append((found, time.monotonic() - late.arrived))
    owner.submit(jobs)
    assert engine.second_begun.wait(10)
    engine.gate.set()
    late.future.result(10)
    [(found, whole)] = seen
    assert 0 < found.queue_ms <= whole * 1e3 - found.encode_ms - found.search_ms
