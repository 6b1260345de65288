"""All models of a run, wired from the settings: one pool, a limit for each provider, a breaker for each address."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2
from openai import APIStatusError, AsyncOpenAI
from podium_contracts.names import ALIASES

from podium_eval.costs.prices import Prices, describe_price
from podium_eval.errors import ConfigError
from podium_eval.log.sink import EventSink
from podium_eval.models.chat import TokenCounter
from podium_eval.models.fallback import Timing
from podium_eval.models.openai_chat import OpenAIChat, Patience, Target
from podium_eval.models.providers import ModelSpec, Provider, ProviderTable, is_address
from podium_eval.models.tokenizer_source import named_tokenizer, served_tokenizer
from podium_eval.models.tokens import EstimateCounter, TokenizerCounter
from podium_eval.models.truncation import Fitting, ServerTokenizer
from podium_eval.settings.models import ModelSettings, expert_variable, provider_variable
from podium_eval.settings.read import Settings
from podium_eval.transport.auth_streak import AuthStreak
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits
from podium_eval.transport.concurrency_limit import AdaptiveLimit
from podium_eval.transport.load_balancer import Address, Balance
from podium_eval.transport.pool import HttpPool, PooledClient


def configured_models(settings: Settings) -> Iterator[tuple[str, tuple[str, str]]]:
    """(orchestrator, judge or alias) -> (provider, model), for those that are set.

    Raises:
        ConfigError: one is not of the form provider/model.
    """
    yield "orchestrator", (settings.orchestrator_provider, settings.orchestrator_model)
    specs = {**{alias: settings.expert(alias) for alias in ALIASES}, "judge": settings.judge}
    for name, text in specs.items():
        if text is not None:
            spec = ModelSpec.parse(text, name)
            yield name, (spec.provider, spec.model)


_SPARE_CONNECTIONS: Final = 32
"""Beside one for each task: the sampler, health checks, a server's tokenizer."""

_TOKENIZE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Models:
    """What build_models makes. limits and breakers grow no further; both tell the heartbeat how things stand.

    pool.session is the run's one aiohttp session: retrieval and sandbox clients share it, so that all open sockets
    stay within one bound. orchestrator_tokens counts for the orchestrator: exact where its tokenizer is found
    (ORCHESTRATOR_TOKENIZER, SERVE_MODEL), else an estimate that errs long.
    """

    orchestrator: OpenAIChat
    experts: Mapping[str, OpenAIChat]
    judge: OpenAIChat
    orchestrator_tokens: TokenCounter
    pool: HttpPool
    limits: Mapping[str, AdaptiveLimit]
    breakers: Mapping[str, Breaker]
    auth: AuthStreak
    prices: Prices

    async def learn(self) -> None:
        """Ask servers of one's own for their context lengths. Without it each is asked at its first call."""
        for chat in {id(chat): chat for chat in (self.orchestrator, *self.experts.values(), self.judge)}.values():
            await chat.learn()

    def describe(self) -> dict[str, Any]:
        """For run.json: experts, judge and orchestrator with what each resolved to, and every price in use."""
        chats = {"orchestrator": self.orchestrator, "judge": self.judge, **self.experts}
        return {
            "orchestrator": {
                **_described(self.orchestrator),
                "token_count": "tokenizer" if self.orchestrator_tokens.exact else "estimate",
            },
            "experts": {alias: _described(chat) for alias, chat in self.experts.items()},
            "judge": _described(self.judge),
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


def build_models(
    settings: ModelSettings,
    sink: EventSink,
    *,
    ids: Mapping[str, Any],
    concurrency: int,
    auth_failures: int = 5,
    on_auth_failures: Callable[[str], None] | None = None,
) -> Models:
    """Wire every model that the settings name. Opens nothing: connections begin with the first call.

    Args:
        ids: run_id and segment, for Limit and Breaker events; read at each, so that a segment may become known later.
        concurrency: tasks at once; the ceiling of limits that no setting lowers, and of open sockets (a few spare).
        on_auth_failures: called once, with the line to show, when a provider has refused its key auth_failures times
            in a row; from then on every call fails as `auth` without being sent.

    Raises:
        ConfigError: everything that is wrong or missing, all at once, each line naming its variable.
    """
    return _Builder(settings, sink, ids, concurrency).build(auth_failures, on_auth_failures)


class _Builder:
    """Gathers problems instead of stopping at the first, so that one start shows all of them."""

    def __init__(self, settings: ModelSettings, sink: EventSink, ids: Mapping[str, Any], concurrency: int) -> None:
        self._settings = settings
        self._sink = sink
        self._ids = ids
        self._concurrency = concurrency
        self._pool = HttpPool(concurrency + _SPARE_CONNECTIONS)
        self._limits: dict[str, AdaptiveLimit] = {}
        self._addresses: dict[str, Address] = {}
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}
        self._tokenizers: dict[Path, TokenizerCounter] = {}
        self._problems: list[str] = []
        self._keyless: dict[str, list[str]] = {}
        self._own_tokenizer: TokenizerCounter | None = None

    def build(self, auth_failures: int, on_auth_failures: Callable[[str], None] | None) -> Models:
        settings = self._settings
        self._table = ProviderTable.load(settings.models_file)
        self._prices = Prices.load(settings.prices_file)
        self._auth = AuthStreak(auth_failures, on_auth_failures)
        orchestrator = self._tried(self._orchestrator)
        experts: dict[str, OpenAIChat] = {}
        for alias in ALIASES:
            text = settings.expert(alias)
            if text is None:
                continue
            own = getattr(settings, expert_variable(alias).lower()) is not None
            variable = expert_variable(alias) if own else "EXPERT_DEFAULT"
            chat = self._tried(
                lambda text=text, variable=variable: self._configured(
                    text, variable, settings.expert_timeout_s, settings.expert_max_tokens
                )
            )
            if chat is not None:
                experts[alias] = chat
        if not any(settings.expert(alias) for alias in ALIASES if alias.startswith("answer-")):
            self._problems.append(
                "no expert can answer: set EXPERT_DEFAULT or one of EXPERT_ANSWER_1 … EXPERT_ANSWER_MATH_2, "
                "such as together/openai/gpt-oss-120b"
            )
        judge = None
        if settings.judge is None:
            self._problems.append("JUDGE is not set: the model that grades, such as openai/gpt-5.4-mini")
        else:
            text = settings.judge
            judge = self._tried(lambda: self._configured(text, "JUDGE", settings.judge_timeout_s, None))
        for variable, users in self._keyless.items():
            self._problems.append(f"{variable} is not set; it is needed by {', '.join(dict.fromkeys(users))}")
        if self._problems or orchestrator is None or judge is None:
            raise ConfigError(dict.fromkeys(self._problems))
        return Models(
            orchestrator=orchestrator,
            experts=experts,
            judge=judge,
            orchestrator_tokens=self._own_tokenizer or EstimateCounter(),
            pool=self._pool,
            limits=self._limits,
            breakers={url: address.breaker for url, address in self._addresses.items()},
            auth=self._auth,
            prices=self._prices,
        )

    def _tried(self, make: Callable[[], OpenAIChat | None]) -> OpenAIChat | None:
        try:
            return make()
        except ConfigError as error:
            self._problems.extend(error.problems)
            return None

    def _orchestrator(self) -> OpenAIChat:
        settings = self._settings
        provider = self._provider(settings.orchestrator_provider, "ORCHESTRATOR_PROVIDER")
        addresses = _addresses(settings.orchestrator_url, "ORCHESTRATOR_URL")
        key = settings.orchestrator_api_key
        quirks = self._table.quirks(provider.name, settings.orchestrator_model)
        if settings.orchestrator_priority:
            quirks = replace(quirks, priority=True)
        if settings.orchestrator_tokenizer is not None:
            self._own_tokenizer = named_tokenizer(settings.orchestrator_tokenizer)
        elif settings.serve_model is not None:
            self._own_tokenizer = served_tokenizer(settings.serve_model)
        return self._chat(
            Target(
                provider=provider.name,
                model=settings.orchestrator_model,
                variable="ORCHESTRATOR_API_KEY",
                quirks=quirks,
                price=self._prices.tokens(provider.name, settings.orchestrator_model),
            ),
            addresses,
            key=key.get_secret_value() if key else "",
            limit=self._limit("orchestrator", settings.orchestrator_concurrency or self._concurrency),
            service="orchestrator",
            timeout_s=settings.orchestrator_timeout_s,
            tokenizer=self._own_tokenizer,
            default_max_tokens=None,
            timing=settings.orchestrator_timing,
            may_be_empty=True,
            proxy=None if provider.local else settings.model_proxy,
        )

    def _configured(self, text: str, variable: str, timeout_s: float, max_tokens: int | None) -> OpenAIChat | None:
        """An expert or the judge; None when its key is missing, which is told once for all that need it."""
        settings = self._settings
        spec = ModelSpec.parse(text, variable)
        provider = self._provider(spec.provider, variable)
        base_variable = provider_variable(provider.name, "BASE_URL")
        addresses = spec.addresses
        if not addresses:
            base_url = settings.provider_value(provider.name, "BASE_URL") or provider.base_url
            if base_url is None:
                raise ConfigError(
                    [f"{variable}={text} has no address: add @http://host:port/v1 or set {base_variable}"]
                )
            addresses = _addresses(base_url, base_variable)
        key_variable = provider_variable(provider.name, "API_KEY")
        key = settings.provider_value(provider.name, "API_KEY") or ""
        if provider.key and not key:
            self._keyless.setdefault(key_variable, []).append(variable)
            return None
        # One limit for a provider on the internet, one for each server (or set of servers) of one's own.
        name = f"{provider.name} {' '.join(map(without_password, addresses))}" if provider.local else provider.name
        return self._chat(
            Target(
                provider=provider.name,
                model=spec.model,
                variable=key_variable,
                quirks=self._table.quirks(provider.name, spec.model),
                price=self._prices.tokens(provider.name, spec.model),
                hint=self._table.hint(provider.name, spec.model),
            ),
            addresses,
            key=key,
            limit=self._limit(name, self._ceiling(provider.name)),
            service=provider.name,
            timeout_s=timeout_s,
            tokenizer=None,
            default_max_tokens=max_tokens,
            timing="server",
            may_be_empty=False,
            proxy=None if provider.local else settings.model_proxy,
        )

    def _chat(
        self,
        target: Target,
        addresses: tuple[str, ...],
        *,
        key: str,
        limit: AdaptiveLimit,
        service: str,
        timeout_s: float,
        tokenizer: TokenizerCounter | None,
        default_max_tokens: int | None,
        timing: Timing,
        may_be_empty: bool,
        proxy: str | None,
    ) -> OpenAIChat:
        settings, quirks = self._settings, target.quirks
        placed: list[Address] = []
        clients: dict[str, AsyncOpenAI] = {}
        for url in addresses:
            shown, headers = without_password(url), headers_of(url, key)
            # A model that always fails must not close its address for the other models there.
            place = f"{target.provider}/{target.model} at {shown}"
            if place not in self._addresses:
                named = f"{service} {place}"
                self._addresses[place] = Address(shown, Breaker(named, self._sink, self._ids, breaker_limits(settings)))
            placed.append(self._addresses[place])
            clients[shown] = self._client(shown, headers, proxy)
        server = None
        if quirks.tokenize:
            first = placed[0].url
            server = ServerTokenizer(self._pool, first, target.model, headers_of(addresses[0], key), _TOKENIZE_S)
        return OpenAIChat(
            target,
            clients=clients,
            balance=Balance(f"{target.provider}/{target.model}", placed, wait_s=settings.breaker_wait_s),
            limit=limit,
            fitting=Fitting(
                context_tokens=quirks.context_tokens,
                max_output_tokens=quirks.max_output_tokens,
                default_max_tokens=default_max_tokens,
                tokenizer=self._tokenizer(Path(quirks.tokenizer)) if quirks.tokenizer else tokenizer,
                server=server,
            ),
            auth=self._auth,
            patience=Patience(
                timeout_s=timeout_s,
                attempts=settings.model_attempts,
                retry_first_s=settings.retry_first_s,
                retry_longest_s=settings.retry_longest_s,
                retry_after_longest_s=settings.retry_after_longest_s,
                lockout_longest_s=settings.lockout_longest_s,
                breaker_wait_s=settings.breaker_wait_s,
            ),
            timing=timing,
            may_be_empty=may_be_empty,
            probe_address=self._probe_address if quirks.tokenize else None,
        )

    async def _probe_address(self, client: AsyncOpenAI) -> None:
        options: Any = {"timeout": self._settings.breaker_try_s}
        try:
            await client.get("/models", cast_to=httpx2.Response, options=options)
        except APIStatusError as error:
            if error.status_code >= 500:
                raise

    def _client(self, url: str, headers: dict[str, str], proxy: str | None) -> AsyncOpenAI:
        authorization = headers.get("authorization", "")
        known = self._clients.get((url, authorization))
        if known is None:
            transport = PooledClient(
                self._pool,
                headers=headers,
                connect_s=self._settings.model_connect_timeout_s,
                body_limit=self._settings.model_body_limit,
                proxy=proxy,
            )
            # Address and key are always given, so the openai package takes neither from the environment.
            known = AsyncOpenAI(base_url=url, api_key="unused", max_retries=0, http_client=transport)
            self._clients[url, authorization] = known
        return known

    def _provider(self, name: str, variable: str) -> Provider:
        provider = self._table.provider(name)
        if provider is None:
            known = ", ".join(self._table.names)
            raise ConfigError(
                [f"{variable} names the provider {name!r}, which is none of {known} (MODELS_FILE adds some)"]
            )
        return provider

    def _limit(self, name: str, maximum: int) -> AdaptiveLimit:
        if name not in self._limits:
            self._limits[name] = AdaptiveLimit(name, maximum, self._sink, self._ids)
        return self._limits[name]

    def _ceiling(self, provider: str) -> int:
        value = self._settings.provider_value(provider, "CONCURRENCY")
        if value is None:
            return self._concurrency
        if not value.isdigit() or int(value) < 1:
            raise ConfigError([f"{provider_variable(provider, 'CONCURRENCY')}={value!r} is not a number of calls"])
        return int(value)

    def _tokenizer(self, path: Path) -> TokenizerCounter:
        if path not in self._tokenizers:
            try:
                self._tokenizers[path] = TokenizerCounter.load(path)
            except ValueError as error:
                raise ConfigError([str(error)]) from error
        return self._tokenizers[path]


def breaker_limits(settings: ModelSettings) -> BreakerLimits:
    return BreakerLimits(
        threshold=settings.breaker_failures,
        first_s=settings.breaker_first_s,
        longest_s=settings.breaker_longest_s,
        try_s=settings.breaker_try_s,
        wait_s=settings.breaker_wait_s,
    )


def _addresses(listed: str, variable: str) -> tuple[str, ...]:
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


def _described(chat: OpenAIChat) -> dict[str, Any]:
    return {
        "provider": chat.provider,
        "model": chat.model,
        "addresses": list(chat.addresses),
        "context_tokens": chat.context_tokens,
        "vision": chat.vision,
    }
