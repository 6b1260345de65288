"""Builds the parts of a run from its settings."""

from podium_eval.costs.estimate import estimate
from podium_eval.costs.prices import Prices
from podium_eval.costs.usage import finished_tasks, past_runs
from podium_eval.errors import ConfigError
from podium_eval.log.meter import Meter
from podium_eval.models.build import configured_models
from podium_eval.models.providers import ProviderTable
from podium_eval.run.budget import Budget, unpriced_problem
from podium_eval.settings.read import Settings


def build_budget(settings: Settings, meter: Meter) -> Budget | None:
    """The run's Budget, told what a task costs by past runs and today's prices; None without BUDGET.

    Raises:
        ConfigError: a model of a paid provider has no price, or a model or the price file is wrong.
    """
    if settings.budget is None:
        return None
    models = dict(configured_models(settings))
    prices = Prices.load(settings.prices_file)
    providers = ProviderTable.load(settings.models_file)
    table = {name: prices.tokens(provider, model) for name, (provider, model) in models.items()}
    names = {name: f"{provider}/{model}" for name, (provider, model) in models.items()}
    paid = [
        names[name]
        for name, (provider, _) in models.items()
        if table[name] is None and (row := providers.provider(provider)) is not None and not row.local
    ]
    if (problem := unpriced_problem(settings.budget, paid)) is not None:
        raise ConfigError([problem])
    past = finished_tasks(past_runs(settings.runs_dir))
    expected = estimate(past, len(past), 1, names, table, prices.units()).usd_per_task if past else None
    return Budget(settings.budget, meter, expected_usd=expected)
