"""The addresses of a run's models: clients over one pool, a circuit breaker for each model and address."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2
from openai import APIStatusError, AsyncOpenAI

from podium_eval.clock import Clock
from podium_eval.errors import ConfigError
from podium_eval.log.sink import EventSink
from podium_eval.models.providers import is_address
from podium_eval.settings.models import ModelSettings
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits
from podium_eval.transport.load_balancer import Address, Balance
from podium_eval.transport.pool import HttpPool, PooledClient, PooledTransport


@dataclass(frozen=True, slots=True)
class Access:
    """Where a model is served and with which key. service: its name in Breaker events."""

    service: str
    addresses: tuple[str, ...]
    key: str
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of one model and a client for each, by url.

    probe_s: an address that was down is first asked for its list of models, for that many seconds at most; None: the
    next call itself finds out.
    """

    balance: Balance
    clients: Mapping[str, AsyncOpenAI]
    probe_s: float | None

    async def probe(self, client: AsyncOpenAI) -> None:
        """Ask whether a server is back, without the minutes that a whole answer may take.

        Raises:
            OpenAIError: it is not.
        """
        options: Any = {"timeout": self.probe_s}
        try:
            await client.get("/models", cast_to=httpx2.Response, options=options)
        except APIStatusError as error:
            if error.status_code >= 500:
                raise


class EndpointMaker:
    """Makes endpoints; models that share an address and a key share its client."""

    def __init__(
        self, pool: HttpPool, settings: ModelSettings, sink: EventSink, ids: Mapping[str, Any], clock: Clock
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._sink = sink
        self._ids = ids
        self._clock = clock
        self._addresses: dict[str, Address] = {}
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}

    @property
    def breakers(self) -> dict[str, Breaker]:
        """By `provider/model at address`."""
        return {place: address.breaker for place, address in self._addresses.items()}

    def make(self, model: str, access: Access, *, probed: bool) -> Endpoints:
        """Endpoints of `model` (provider/model). Opens nothing."""
        settings = self._settings
        placed: list[Address] = []
        clients: dict[str, AsyncOpenAI] = {}
        for url in access.addresses:
            shown = without_password(url)
            # A model that always fails must not close its address for the other models there.
            place = f"{model} at {shown}"
            if place not in self._addresses:
                breaker = Breaker(
                    f"{access.service} {place}", self._sink, self._ids, breaker_limits(settings), self._clock
                )
                self._addresses[place] = Address(shown, breaker)
            placed.append(self._addresses[place])
            clients[shown] = self._client(shown, headers_of(url, access.key), access.proxy)
        balance = Balance(model, placed, wait_s=settings.breaker_wait_s, clock=self._clock)
        return Endpoints(balance, clients, settings.breaker_try_s if probed else None)

    def _client(self, url: str, headers: dict[str, str], proxy: str | None) -> AsyncOpenAI:
        authorization = headers.get("authorization", "")
        known = self._clients.get((url, authorization))
        if known is None:
            transport = PooledTransport(
                self._pool,
                connect_s=self._settings.model_connect_timeout_s,
                body_limit=self._settings.model_body_limit,
                proxy=proxy,
            )
            client = PooledClient(transport, headers)
            # Address and key are always given, so the openai package takes neither from the environment.
            known = AsyncOpenAI(base_url=url, api_key="unused", max_retries=0, http_client=client)
            self._clients[url, authorization] = known
        return known


def breaker_limits(settings: ModelSettings) -> BreakerLimits:
    """The settings' limits of a circuit breaker."""
    return BreakerLimits(
        threshold=settings.breaker_failures,
        first_s=settings.breaker_first_s,
        longest_s=settings.breaker_longest_s,
        try_s=settings.breaker_try_s,
        wait_s=settings.breaker_wait_s,
    )


def listed_addresses(listed: str, variable: str) -> tuple[str, ...]:
    """Addresses separated by commas.

    Raises:
        ConfigError: there is none, or one is no http address.
    """
    addresses = tuple(part.strip().rstrip("/") for part in listed.split(",") if part.strip())
    if not addresses or not all(is_address(address) for address in addresses):
        raise ConfigError([f"{variable}={listed!r} is not an address such as http://host:port/v1"])
    return addresses


def without_password(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def headers_of(url: str, key: str) -> dict[str, str]:
    """All headers of a call to a model; a key wins over an address's user and password."""
    headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "podium-eval"}
    parts = urlsplit(url)
    if key:
        headers["authorization"] = f"Bearer {key}"
    elif parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return headers
