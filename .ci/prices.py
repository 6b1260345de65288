"""Compare eval/podium_eval/costs/prices.toml with genai-prices' table. `make check-prices`; exit status 1: rows differ.

Neither table is the truth: where they differ, the provider's own page decides. A row that stays although genai-prices
differs says why in its `source`, by that name, and is counted as decided.
"""

import sys
from dataclasses import dataclass

from genai_prices import Usage, __version__, calc_price
from podium_eval.costs.prices import Prices, TokenPrice

_PROVIDERS = {"nebius": "huggingface_nebius"}
"""genai-prices has Nebius as the hub's inference provider."""
_COUNT = 1000
_OPENAI_LONG = 272_000
"""Above so many prompt tokens OpenAI's larger models cost more; the other rows must have no such step."""


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens."""

    input: float
    cached_input: float
    output: float


def theirs(row: TokenPrice, above: int) -> Rates | None:
    """genai-prices' rates of a call whose prompt has just more than `above` tokens; None: it has no such model."""
    provider = _PROVIDERS.get(row.provider, row.provider)
    prompt = above + _COUNT

    def usd(**usage: int) -> float:
        return float(calc_price(Usage(**usage), row.model, provider_id=provider).total_price)

    try:
        plain = usd(input_tokens=prompt)
        cached = usd(input_tokens=prompt, cache_read_tokens=prompt)
        output = usd(input_tokens=prompt, output_tokens=_COUNT) - plain
    except LookupError:
        return None
    return Rates(*(round(one * 1e6 / n, 6) for one, n in ((plain, prompt), (cached, prompt), (output, _COUNT))))


def ours(row: TokenPrice, above: int) -> Rates:
    """Our rates of the same call."""
    price = next((tier for tier in reversed(row.tiers) if above + _COUNT > tier.above), row)
    return Rates(price.input, price.input if price.cached_input is None else price.cached_input, price.output)


def main() -> int:
    """Print what differs and what is missing, then the counts."""
    counts = dict.fromkeys(("agree", "decided", "differ", "missing"), 0)
    for row in Prices.load().rows:
        name = f"{row.provider} {row.model}"
        unequal: list[str] = []
        missing = False
        for above in sorted({0, _OPENAI_LONG, *(tier.above for tier in row.tiers)}):
            own, other = ours(row, above), theirs(row, above)
            missing |= other is None
            if own != other:
                unequal.append(f"prompts over {above} tokens: ours {own}, theirs {other}")
        decided = "genai-prices" in row.source
        kind = "missing" if missing else "agree" if not unequal else "decided" if decided else "differ"
        counts[kind] += 1
        if kind == "differ":
            print("\n    ".join([f"differs  {name}", *unequal]))
        elif kind != "agree":
            print(f"{kind:8} {name}" + (f": {row.source}" if kind == "decided" else ""))
    print(f"genai-prices {__version__}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
    return int(counts["differ"] > 0)


if __name__ == "__main__":
    sys.exit(main())
