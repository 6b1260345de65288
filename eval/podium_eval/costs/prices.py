"""What calls cost: a dated table with a source for every row. What the table does not know costs None, never zero."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from podium_eval.errors import ConfigError
from podium_eval.settings.toml_rows import StrictRow, read_rows, validated

Unit = Literal["search", "extract", "code_second", "gpu_hour"]
UNIT_NAMES: Mapping[Unit, str] = {
    "search": "web searches",
    "extract": "extracted pages",
    "code_second": "seconds of code",
    "gpu_hour": "hours of a GPU",
}
UNITS: tuple[Unit, ...] = tuple(UNIT_NAMES)


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices of a call whose prompt has more than `above` tokens: all its tokens cost that."""

    above: int
    input: float
    output: float
    cached_input: float | None


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
    tiers: tuple[Tier, ...] = ()
    """By `above`, rising; the last that a prompt exceeds counts."""

    def cost(self, prompt_tokens: int | None, cached_tokens: int | None, completion_tokens: int | None) -> float | None:
        """USD of one call; None unless both token counts are known. Completion tokens include reasoning."""
        if prompt_tokens is None or completion_tokens is None:
            return None
        price = next((tier for tier in reversed(self.tiers) if prompt_tokens > tier.above), self)
        cached = min(cached_tokens or 0, prompt_tokens)
        cached_price = price.input if price.cached_input is None else price.cached_input
        return ((prompt_tokens - cached) * price.input + cached * cached_price + completion_tokens * price.output) / 1e6


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

    def __add__(self, other: "Charge") -> "Charge":
        known = [usd for usd in (self.usd, other.usd) if usd is not None]
        return Charge(sum(known) if known else None, self.n_unpriced + other.n_unpriced)


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
        packaged = resources.files("podium_eval.costs").joinpath("prices.toml")
        tokens, units = _rows(packaged.read_text("utf-8"), "prices.toml")
        if override is not None:
            try:
                text = override.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"PRICES_FILE={override} cannot be read: {error}"]) from error
            more_tokens, more_units = _rows(text, f"PRICES_FILE={override}")
            tokens, units = [*tokens, *more_tokens], [*units, *more_units]
        return cls(tokens, units)

    @property
    def rows(self) -> tuple[TokenPrice, ...]:
        """Every row of a model, in the table's order."""
        return self._tokens

    def tokens(self, provider: str, model: str) -> TokenPrice | None:
        """The price of a model's tokens; None: not known."""
        matches = [price for price in self._tokens if price.provider == provider and fnmatchcase(model, price.model)]
        return matches[-1] if matches else None

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
        **({"tiers": [asdict(tier) for tier in price.tiers]} if price.tiers else {}),
        "date": price.date,
        "source": price.source,
    }


Usd = Annotated[float, Field(ge=0, allow_inf_nan=False, description="USD, not negative")]
Name = Annotated[str, Field(min_length=1)]


class _Tier(StrictRow):
    above: Annotated[int, Field(gt=0)]
    input: Usd
    output: Usd
    cached_input: Usd | None = None


class _TokenRow(StrictRow):
    provider: Name
    model: Name
    input: Usd
    output: Usd
    cached_input: Usd | None = None
    tiers: list[_Tier] = Field(default_factory=list[_Tier])
    date: date
    source: Name


class _UnitRow(StrictRow):
    unit: Unit
    usd: Usd
    date: date
    source: Name


def _rows(text: str, where: str) -> tuple[list[TokenPrice], list[UnitPrice]]:
    tokens: list[TokenPrice] = []
    units: list[UnitPrice] = []
    problems: list[str] = []
    for row in read_rows(text, where, ("tokens", "unit")):
        try:
            if row.table == "unit":
                unit = validated(row, _UnitRow)
                units.append(UnitPrice(unit.unit, unit.usd, unit.date.isoformat(), unit.source))
            else:
                tokens.append(_token_price(validated(row, _TokenRow)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError([*problems, f"{where}: leave a row out where a price is not known"])
    return tokens, units


def _token_price(row: _TokenRow) -> TokenPrice:
    tiers = tuple(Tier(t.above, t.input, t.output, t.cached_input) for t in sorted(row.tiers, key=lambda t: t.above))
    return TokenPrice(
        provider=row.provider,
        model=row.model,
        input=row.input,
        output=row.output,
        cached_input=row.cached_input,
        date=row.date.isoformat(),
        source=row.source,
        tiers=tiers,
    )
