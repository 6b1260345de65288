"""What calls cost: a dated table with a source for every row. What the table does not know costs None, never zero."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from podium_eval.errors import ConfigError

Unit = Literal["search", "extract", "code_second", "gpu_hour"]
UNIT_NAMES: Mapping[Unit, str] = {
    "search": "web searches",
    "extract": "extracted pages",
    "code_second": "seconds of code",
    "gpu_hour": "hours of a GPU",
}
UNITS: tuple[Unit, ...] = tuple(UNIT_NAMES)


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """USD per million tokens of one provider's models whose name fits `model` (a pattern, * and ?)."""

    provider: str
    model: str
    input: float
    output: float
    cached_input: float | None
    """None: cached tokens cost what others do, as far as is known."""
    date: str
    source: str

    def cost(self, prompt_tokens: int | None, cached_tokens: int | None, completion_tokens: int | None) -> float | None:
        """USD of one call; None unless both token counts are known. Completion tokens include reasoning."""
        if prompt_tokens is None or completion_tokens is None:
            return None
        cached = min(cached_tokens or 0, prompt_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        return ((prompt_tokens - cached) * self.input + cached * cached_price + completion_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """USD of one search, one extracted page, one second of code, or one hour of one GPU."""

    unit: Unit
    usd: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Charge:
    """usd: of what has a known price, None when nothing was used that has one. n_unpriced: kinds of what has none."""

    usd: float | None = None
    n_unpriced: int = 0


class Prices:
    """The table; of several rows that fit the last one counts, so a user's rows win over ours."""

    def __init__(self, tokens: Sequence[TokenPrice], units: Sequence[UnitPrice]) -> None:
        self._tokens = tuple(tokens)
        self._units = {price.unit: price for price in units}

    @classmethod
    def load(cls, override: Path | None = None) -> "Prices":
        """The package's table, then the rows of `override` (PRICES_FILE).

        Raises:
            ConfigError: a row lacks a field or has a wrong one; the message names file and row.
        """
        own = resources.files("podium_eval.costs").joinpath("prices.toml")
        tokens, units = _rows(own.read_text("utf-8"), "prices.toml")
        if override is not None:
            try:
                text = override.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"PRICES_FILE={override} cannot be read: {error}"]) from error
            more_tokens, more_units = _rows(text, f"PRICES_FILE={override}")
            tokens, units = [*tokens, *more_tokens], [*units, *more_units]
        return cls(tokens, units)

    def tokens(self, provider: str, model: str) -> TokenPrice | None:
        """The price of a model's tokens; None: not known."""
        found = [price for price in self._tokens if price.provider == provider and fnmatchcase(model, price.model)]
        return found[-1] if found else None

    def unit(self, unit: Unit) -> UnitPrice | None:
        """The price of a search, an extracted page, a second of code, a GPU's hour; None: not known."""
        return self._units.get(unit)

    def units(self) -> dict[Unit, UnitPrice | None]:
        """The price of every kind of piece."""
        return {unit: self.unit(unit) for unit in UNITS}

    def charge(self, pieces: Mapping[Unit, float | None]) -> "Charge":
        """What so many pieces cost. None: used, and nobody knows how many."""
        charge = Charge()
        for unit, quantity in pieces.items():
            if quantity == 0:
                continue
            price = self.unit(unit)
            if quantity is None or price is None:
                charge = replace(charge, n_unpriced=charge.n_unpriced + 1)
            else:
                charge = replace(charge, usd=(charge.usd or 0.0) + quantity * price.usd)
        return charge

    def describe(self) -> dict[str, Any]:
        """For run.json: every unit price that is known."""
        return {name: {"usd": row.usd, "date": row.date, "source": row.source} for name, row in self._units.items()}


def describe_price(price: TokenPrice | None) -> dict[str, Any] | None:
    """For run.json: one model's price with its date and source."""
    if price is None:
        return None
    return {
        "input": price.input,
        "cached_input": price.cached_input,
        "output": price.output,
        "date": price.date,
        "source": price.source,
    }


def _rows(text: str, where: str) -> tuple[list[TokenPrice], list[UnitPrice]]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{where}: {error}"]) from error
    problems: list[str] = []
    unknown = sorted(set(table) - {"tokens", "unit"})
    if unknown:
        problems.append(f"{where}: [[{unknown[0]}]] is neither [[tokens]] nor [[unit]]")
    tokens: list[TokenPrice] = []
    units: list[UnitPrice] = []
    for at, row in enumerate(cast("list[dict[str, Any]]", table.get("tokens", [])), 1):
        try:
            tokens.append(
                TokenPrice(
                    provider=_text(row, "provider"),
                    model=_text(row, "model"),
                    input=_usd(row, "input"),
                    output=_usd(row, "output"),
                    cached_input=_usd(row, "cached_input") if "cached_input" in row else None,
                    date=_date(row),
                    source=_text(row, "source"),
                )
            )
        except ValueError as error:
            problems.append(f"{where}: [[tokens]] row {at}: {error}")
    for at, row in enumerate(cast("list[dict[str, Any]]", table.get("unit", [])), 1):
        try:
            name = _text(row, "unit")
            if name not in UNITS:
                raise ValueError(f"unit = {name!r} is none of {', '.join(UNITS)}")
            units.append(UnitPrice(unit=name, usd=_usd(row, "usd"), date=_date(row), source=_text(row, "source")))
        except ValueError as error:
            problems.append(f"{where}: [[unit]] row {at}: {error}")
    if problems:
        raise ConfigError(problems)
    return tokens, units


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"lacks {name}, a text")
    return value


def _usd(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"lacks {name}, a number of USD that is not negative (leave the row out for an unknown price)")
    return float(value)


def _date(row: dict[str, Any]) -> str:
    value = row.get("date")
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError("lacks date, such as 2026-08-01")
