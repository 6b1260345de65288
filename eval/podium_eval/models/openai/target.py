"""What a chat model is and how it is called: target, role in the run, retry limits."""

import random
from dataclasses import dataclass

from tenacity import RetryCallState

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.costs.prices import TokenPrice
from podium_eval.errors import Failure
from podium_eval.models.openai.fallback import Timing
from podium_eval.models.providers import Quirks
from podium_eval.models.tokens import TokenizerCounter
from podium_eval.settings.models import ModelSettings


@dataclass(frozen=True, slots=True)
class Target:
    """What a Chat calls. variable: the setting that holds its key. hint: added when its model's name is refused."""

    provider: str
    model: str
    variable: str
    quirks: Quirks
    price: TokenPrice | None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """What the run asks of a model: orchestrator, expert or judge.

    timing: whether calls are streamed to be timed; `auto` streams once an answer has come without the server's own
    timings. may_be_empty: an answer without text counts as one (an orchestrator's turn) instead of being retried.
    traced: its server gets the trace context of the call.
    """

    timeout_s: float
    default_max_tokens: int | None = None
    tokenizer: TokenizerCounter | None = None
    timing: Timing = "server"
    may_be_empty: bool = False
    traced: bool = False


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """How often one call is retried and how long it waits, by which clock; the settings explain each."""

    attempts: int
    retry_first_s: float
    retry_longest_s: float
    retry_after_longest_s: float
    lockout_longest_s: float
    breaker_wait_s: float
    clock: Clock = SYSTEM_CLOCK

    def pause_s(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: Retry-After where given, else exponential backoff with jitter."""
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, Failure) and failure.retry_after_s is not None:
            # The limit holds everybody back for an overload's Retry-After; other refusals wait here.
            held = failure.error_type in ("rate_limit", "server_error")
            return 0.0 if held else min(failure.retry_after_s, self.lockout_longest_s)
        highest = min(self.retry_first_s * 2 ** (state.attempt_number - 1), self.retry_longest_s)
        return random.uniform(highest / 2, highest)


def retry_limits(settings: ModelSettings, clock: Clock) -> RetryLimits:
    """The run's own, for every model."""
    return RetryLimits(
        attempts=settings.model_attempts,
        retry_first_s=settings.retry_first_s,
        retry_longest_s=settings.retry_longest_s,
        retry_after_longest_s=settings.retry_after_longest_s,
        lockout_longest_s=settings.lockout_longest_s,
        breaker_wait_s=settings.breaker_wait_s,
        clock=clock,
    )
