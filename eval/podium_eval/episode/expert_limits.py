"""How much knowledge each expert is shown: ToolOrchestra's limits by model, never more than the server takes."""

from typing import Final

from podium_eval.episode.context import Limits
from podium_eval.models.chat import Chat

_BY_MODEL: Final[tuple[tuple[str, int, int], ...]] = (
    ("qwen2.5-coder", 24_000, 16_000),
    ("qwen2.5-math", 2_000, 1_000),
    ("llama-3.3", 80_000, 10_000),
    ("qwen3", 24_000, 12_000),
    ("gpt-5", 120_000, 40_000),
)
"""Part of the model's name, tokens in all, of these code and attempts."""

_OTHERS: Final = (24_000, 12_000)
_ATTEMPTS: Final = 8_000
_PROMPT: Final = 600
"""Tokens of a template's own words, chat template and tool texts, rounded up."""


def expert_limits(chat: Chat, problem_tokens: int, max_tokens: int | None) -> Limits:
    """Limits of the knowledge shown to `chat` beside a problem of `problem_tokens`.

    Of a server's context a quarter is left for the answer where no max_tokens says how much it needs.
    """
    name = chat.model.lower()
    total, code = next(((total, code) for part, total, code in _BY_MODEL if part in name), _OTHERS)
    return fitted(Limits(total, code, _ATTEMPTS), chat, problem_tokens, max_tokens)


def fitted(limits: Limits, chat: Chat, problem_tokens: int, max_tokens: int | None) -> Limits:
    """`limits` less the problem, and within the server's context where that is known."""
    total = limits.total
    if chat.context_tokens is not None:
        reserve = chat.context_tokens // 4 if max_tokens is None else min(max_tokens, chat.context_tokens // 2)
        total = min(total, chat.context_tokens - reserve - _PROMPT)
    total = max(0, total - problem_tokens)
    code = min(limits.code, total)
    return Limits(total, code, min(limits.attempts, code))
