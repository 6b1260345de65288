"""`podium-eval estimate`: print what the run that the settings describe would cost and take."""

from typing import Final

from rich.console import Console
from rich.table import Table

from podium_eval.costs.estimate import Estimate, estimate
from podium_eval.costs.prices import UNIT_NAMES, Prices, TokenPrice
from podium_eval.costs.usage import finished_tasks, past_runs
from podium_eval.dataset.load import Dataset
from podium_eval.models.models import configured_models
from podium_eval.models.tokens import EstimateCounter
from podium_eval.settings.read import Settings

_TURNS: Final = (4, 3500, 300)
_EXPERT: Final = (4, 3500, 1500)
_JUDGE: Final = (1, 1500, 500)
"""Calls a task, tokens in and out of each: what the order of magnitude assumes without a past run."""


def print_estimate(settings: Settings, dataset: Dataset, console: Console) -> int:
    """Exit status 0; 1 when no past run gives a task's usage, and only a floor can be printed.

    Raises:
        ConfigError: a model or the price file is wrong.
    """
    models = dict(configured_models(settings))
    prices = Prices.load(settings.prices_file)
    table = {name: prices.tokens(provider, model) for name, (provider, model) in models.items()}
    names = {name: f"{provider}/{model}" for name, (provider, model) in models.items()}
    n = dataset.n_selected * settings.epochs
    console.print(
        f"{n} tasks: {dataset.n_selected} questions of {dataset.path}, {settings.epochs} epoch(s)",
        markup=False,
        soft_wrap=True,
    )
    past = finished_tasks(past_runs(settings.runs_dir))
    if not past:
        _print_floor(settings, dataset, table, console)
        return 1
    made = estimate(past, n, settings.concurrency, names, table, prices.units())
    _print(made, settings.concurrency, console)
    return 0


def _print(made: Estimate, concurrency: int, console: Console) -> None:
    console.print(
        f"An estimate from {made.n_past} finished tasks of {', '.join(made.runs)}; not a measurement.",
        markup=False,
        soft_wrap=True,
    )
    table = Table(pad_edge=False, box=None)
    for name in ("role or alias", "model now"):
        table.add_column(name, overflow="fold")
    for name in ("calls", "tokens in", "cached", "out", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in made.parts:
        use = part.use
        counts = (use.calls, use.prompt_tokens, use.cached_tokens, use.completion_tokens)
        usd = "unknown" if part.usd is None else f"{part.usd:,.4f}"
        table.add_row(part.name, part.model or "not configured", *(f"{count:,}" for count in counts), usd)
    console.print(table)
    for piece in made.pieces:
        n = "unknown" if piece.n is None else f"{piece.n:,.0f}"
        usd = "unknown" if piece.usd is None else f"{piece.usd:,.4f}"
        console.print(f"{UNIT_NAMES[piece.unit]}: {n}, USD {usd}", markup=False)
    if made.usd is None:
        console.print("cost: unknown, nothing in use has a price (PRICES_FILE adds some)")
    else:
        spread = "" if made.low is None else f" (95% prediction {made.low:,.4f} to {made.high:,.4f})"
        without = f", without {', '.join(made.unpriced)}" if made.unpriced else ""
        console.print(f"cost: about {made.usd:,.4f} USD{spread}{without}", markup=False)
    console.print(f"time: about {_span(made.hours * 3600)} with {concurrency} at once, if calls take as they did")


def _print_floor(settings: Settings, dataset: Dataset, prices: dict[str, TokenPrice | None], console: Console) -> None:
    """Without past runs one thing is sure: orchestrator, an answering expert and the judge read each question."""
    counter = EstimateCounter()
    tokens = settings.epochs * sum(counter.count(question.question) for question in dataset.questions)
    answering = [name for name in prices if name.startswith("answer-")]
    inputs = {name: price.input for name in answering if (price := prices[name]) is not None}
    known = [price.input for name in ("orchestrator", "judge") if (price := prices.get(name)) is not None]
    if len(inputs) == len(answering) and inputs:
        known.append(min(inputs.values()))
    console.print(
        f"RUNS_DIR={settings.runs_dir} holds no finished task to estimate from; "
        "podium-eval run --limit 20 makes some in a run of its own.",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"At least: the questions' own {tokens:,} tokens (estimated), read three times.")
    if known:
        console.print(f"At least {tokens * sum(known) / 1e6:,.4f} USD for reading them, where a price is known.")
    _print_magnitude(len(dataset.questions) * settings.epochs, prices, console)


def _print_magnitude(tasks: int, prices: dict[str, TokenPrice | None], console: Console) -> None:
    """What the run may cost on assumptions that are printed: a third to three times the sum of them."""
    calls = {"orchestrator": _TURNS, "expert": _EXPERT, "judge": _JUDGE}
    experts = [price for name, price in prices.items() if name not in calls and price is not None]
    dearest = max(experts, key=lambda price: price.output, default=None)
    used = {"orchestrator": prices.get("orchestrator"), "expert": dearest, "judge": prices.get("judge")}
    priced = {name: price for name, price in used.items() if price is not None}
    if not priced:
        console.print("An order of magnitude cannot be told: no model in use has a price.")
        return
    usd = tasks * sum(
        calls[name][0] * (price.cost(calls[name][1], None, calls[name][2]) or 0.0) for name, price in priced.items()
    )
    console.print(f"An order of magnitude, from assumptions and no measurement: {usd / 3:,.2g} to {3 * usd:,.2g} USD.")
    for name, (count, read, written) in calls.items():
        price = "" if name in priced else " (no price: left out)"
        console.print(f"  {name}: {count} calls a task, {read:,} tokens in, {written:,} out{price}")


def _span(seconds: float) -> str:
    """`2 min`, `3.5 h`."""
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
