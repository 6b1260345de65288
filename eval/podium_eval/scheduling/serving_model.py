"""A model of serving: what an order, a cache or a tool's time does to throughput and latency, in seconds on a CPU.

Each replica runs steps as vLLM does: every running request decodes one token, and what is left of the step's token
budget prefills. The prefix cache frees the task that was used longest ago first, the tail of its prompt first.
"""

import bisect
import heapq
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from podium_eval.scheduling.order import Order, ServerOrder, Turn


@dataclass(frozen=True, slots=True)
class Replica:
    """One server's constants. Seconds; tokens.

    weights_s: reading the weights once, for a step that decodes. kv_s: reading one token of the cache. prefill_s:
    computing one prompt token. step_s: what each step costs besides. budget: prompt tokens in one step at most.
    """

    kv_tokens: int
    weights_s: float
    kv_s: float
    prefill_s: float
    step_s: float
    budget: int = 8192
    sequences: int = 256


@dataclass(frozen=True, slots=True)
class Job:
    """A task: the prompt's tokens and the tokens out of each turn, and the tool's seconds behind each but the last."""

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    tools: tuple[float, ...]


@dataclass(slots=True)
class _Running:
    prompt: int
    output: int
    todo: int
    cached: int
    since: float
    began: float
    prefilled: float = 0.0
    made: int = 0


@dataclass(slots=True)
class Outcome:
    """What the model found. latencies_s and waits_s: one a turn; ends_s: one a task; the waits lie in the latencies."""

    wall_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list[float])
    waits_s: list[float] = field(default_factory=list[float])
    ends_s: list[float] = field(default_factory=list[float])
    prompt_tokens: int = 0
    cached_tokens: int = 0

    @property
    def turns_per_s(self) -> float:
        return len(self.latencies_s) / self.wall_s

    def latency_s(self, share: float) -> float:
        """The quantile of a turn's time, its waiting for admission included."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Server:
    """One replica in time."""

    def __init__(self, spec: Replica, jobs: Sequence[Job]) -> None:
        self.spec = spec
        self.jobs = jobs
        self.now = 0.0
        self.waiting: list[tuple[int, float, int]] = []
        self.running: dict[int, _Running] = {}
        self.cache: OrderedDict[int, int] = OrderedDict()
        self.used = 0

    def take(self, place: int, priority: int, now: float) -> None:
        bisect.insort(self.waiting, (priority, now, place))

    def step(self, turns: dict[int, int], arrived: dict[int, float], outcome: Outcome) -> list[tuple[int, Turn]]:
        """One step: prefill, decode, and the turns that ended with it."""
        spec, left, computed = self.spec, self.spec.budget, 0
        for run in self.running.values():
            part = min(left, run.todo)
            run.todo -= part
            left -= part
            computed += part
        while self.waiting and left > 0 and len(self.running) < spec.sequences:
            place = self.waiting[0][2]
            job, turn = self.jobs[place], turns[place]
            prompt, output = job.prompts[turn], job.outputs[turn]
            if not self._room(prompt + output - self.cache.get(place, 0), place):
                break
            del self.waiting[0]
            cached = min(self.cache.pop(place, 0), prompt)
            self.used += prompt + output - cached
            part = min(left, prompt - cached)
            left -= part
            computed += part
            self.running[place] = _Running(prompt, output, prompt - cached - part, cached, arrived[place], self.now)
            outcome.prompt_tokens += prompt
            outcome.cached_tokens += cached
        decoding = [place for place, run in self.running.items() if not run.todo]
        if not self.running:
            return []
        read = sum(self.running[place].prompt + self.running[place].made for place in decoding)
        self.now += spec.step_s + spec.weights_s * bool(decoding) + read * spec.kv_s + computed * spec.prefill_s
        ended: list[tuple[int, Turn]] = []
        for place in decoding:
            run = self.running[place]
            run.made += 1
            if run.made == 1:
                run.prefilled = self.now
            if run.made < run.output:
                continue
            del self.running[place]
            self.cache[place] = run.prompt + run.output
            ended.append(
                (
                    place,
                    Turn(
                        run.prompt,
                        run.cached,
                        run.output,
                        run.prefilled - run.began,
                        self.now - run.prefilled,
                        run.began - run.since,
                    ),
                )
            )
        return ended

    def forget(self, place: int) -> None:
        self.used -= self.cache.pop(place, 0)

    def _room(self, tokens: int, keep: int) -> bool:
        """Free the cache of idle tasks until so many tokens fit; False when running requests hold too much."""
        while self.used + tokens > self.spec.kv_tokens:
            victim = next((place for place in self.cache if place != keep), None)
            if victim is None:
                return False
            cut = min(self.cache[victim], self.used + tokens - self.spec.kv_tokens + 16)
            self.cache[victim] -= cut
            self.used -= cut
            if not self.cache[victim]:
                del self.cache[victim]
        return True


def simulate(spec: Replica, jobs: Sequence[Job], *, at_once: int, order: Order | None = None) -> Outcome:
    """Play the jobs, `at_once` of them at any time, on one replica; no order: the server's own."""
    order = order or ServerOrder()
    server, outcome = _Server(spec, jobs), Outcome()
    turns: dict[int, int] = {}
    arrived: dict[int, float] = {}
    sent: dict[int, float] = {}
    tools: list[tuple[float, int]] = []
    coming = iter(range(len(jobs)))

    def begin() -> None:
        while len(turns) < at_once and (place := next(coming, None)) is not None:
            turns[place] = 0
            arrive(place)

    def arrive(place: int) -> None:
        arrived[place] = server.now
        order.arrive(place, jobs[place].prompts[turns[place]], server.now)

    begin()
    while turns:
        while tools and tools[0][0] <= server.now:
            arrive(heapq.heappop(tools)[1])
        for place in order.admitted(server.now):
            sent[place] = server.now
            outcome.waits_s.append(server.now - arrived[place])
            server.take(place, order.priority(place), server.now)
        ended = server.step(turns, sent, outcome)
        if not server.running and not ended:
            if not tools:
                raise RuntimeError("nobody may go, and nobody is in a tool: the order has lost a task")
            server.now = max(server.now, tools[0][0])
            continue
        for place, turn in ended:
            outcome.latencies_s.append(server.now - arrived[place])
            order.answered(place, turn, server.now)
            number = turns[place]
            if number + 1 == len(jobs[place].prompts):
                del turns[place]
                server.forget(place)
                order.left(place, server.now)
                outcome.ends_s.append(server.now)
            else:
                turns[place] = number + 1
                heapq.heappush(tools, (server.now + jobs[place].tools[number], place))
        begin()
    outcome.wall_s = server.now
    return outcome
