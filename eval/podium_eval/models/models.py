"""All models of one run: those that the settings name, and what build_models makes of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from podium_contracts.names import ALIASES

from podium_eval.costs.prices import Prices, describe_price
from podium_eval.models.chat import TokenCounter
from podium_eval.models.openai.chat import OpenAIChat
from podium_eval.models.providers import ModelSpec
from podium_eval.settings.models import ModelSettings
from podium_eval.transport.auth_streak import AuthStreak
from podium_eval.transport.circuit_breaker import Breaker
from podium_eval.transport.concurrency_limit import AdaptiveLimit
from podium_eval.transport.pool import HttpPool

T = TypeVar("T")


def configured_models(settings: ModelSettings) -> Iterator[tuple[str, tuple[str, str]]]:
    """(orchestrator, judge or alias) -> (provider, model), for those that are set.

    Raises:
        ConfigError: one is not of the form provider/model.
    """
    yield "orchestrator", (settings.orchestrator_provider, settings.orchestrator_model)
    specs = {**{alias: settings.expert(alias) for alias in ALIASES}, **judge_names(settings.judges)}
    for name, text in specs.items():
        if text is not None:
            spec = ModelSpec.parse(text, name)
            yield name, (spec.provider, spec.model)


def judge_names(judges: Sequence[T]) -> dict[str, T]:
    """Judges by the name that tables give each: judge, judge-2, judge-3."""
    return {"judge" if number == 1 else f"judge-{number}": judge for number, judge in enumerate(judges, 1)}


@dataclass(frozen=True, slots=True)
class Models:
    """What build_models makes. limits and breakers grow no further; the heartbeat reads both.

    pool.session is the run's one aiohttp session: retrieval and sandbox clients share it, so that all open sockets
    stay within one bound. orchestrator_tokens counts for the orchestrator: exact where its tokenizer is found
    (ORCHESTRATOR_TOKENIZER, SERVE_MODEL), else an estimate that errs long.
    """

    orchestrator: OpenAIChat
    experts: Mapping[str, OpenAIChat]
    judges: Sequence[OpenAIChat]
    """At least one; of several the majority counts."""
    orchestrator_tokens: TokenCounter
    pool: HttpPool
    limits: Mapping[str, AdaptiveLimit]
    breakers: Mapping[str, Breaker]
    auth: AuthStreak
    prices: Prices

    @property
    def judge(self) -> OpenAIChat:
        """The first."""
        return self.judges[0]

    async def learn(self) -> None:
        """Ask servers of one's own for their context lengths. Without it each is asked at its first call."""
        for chat in {id(chat): chat for chat in (self.orchestrator, *self.experts.values(), *self.judges)}.values():
            await chat.learn()

    def describe(self) -> dict[str, Any]:
        """For run.json: experts, judge and orchestrator with what each resolved to, and every price in use."""
        chats = {"orchestrator": self.orchestrator, **judge_names(self.judges), **self.experts}
        return {
            "orchestrator": {
                **_described(self.orchestrator),
                "token_count": "tokenizer" if self.orchestrator_tokens.exact else "estimate",
            },
            "experts": {alias: _described(chat) for alias, chat in self.experts.items()},
            "judge": _described(self.judge),
            "judges": [_described(judge) for judge in self.judges],
            "prices": {
                "tokens_per_million": {
                    f"{chat.provider}/{chat.model}": describe_price(chat.price) for chat in chats.values()
                },
                **self.prices.describe(),
            },
        }

    async def aclose(self) -> None:
        """Close every connection of the run."""
        await self.pool.aclose()


def _described(chat: OpenAIChat) -> dict[str, Any]:
    return {
        "provider": chat.provider,
        "model": chat.model,
        "addresses": list(chat.addresses),
        "context_tokens": chat.context_tokens,
        "vision": chat.vision,
    }
