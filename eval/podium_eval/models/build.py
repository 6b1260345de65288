"""All models of a run, wired from the settings: one pool, a limit for each provider, a breaker for each address."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from podium_contracts.names import ALIASES, EXPERTS

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.costs.prices import Prices
from podium_eval.errors import ConfigError
from podium_eval.log.sink import EventSink
from podium_eval.models.models import Models
from podium_eval.models.openai.chat import OpenAIChat
from podium_eval.models.openai.endpoints import Access, EndpointMaker, headers_of, listed_addresses, without_password
from podium_eval.models.openai.target import Role, Target, retry_limits
from podium_eval.models.providers import ModelSpec, Provider, ProviderTable
from podium_eval.models.tokenizer_source import named_tokenizer, served_tokenizer
from podium_eval.models.tokens import EstimateCounter, TokenizerCounter
from podium_eval.models.truncation import Fitting, ServerTokenizer
from podium_eval.settings.models import ModelSettings, expert_variable, provider_variable
from podium_eval.transport.auth_streak import AuthStreak
from podium_eval.transport.concurrency_limit import AdaptiveLimit
from podium_eval.transport.pool import HttpPool

_SPARE_CONNECTIONS: Final = 32
"""Beside one for each task: the sampler, health checks, a server's tokenizer."""

_TOKENIZE_S: Final = 30.0


def build_models(
    settings: ModelSettings,
    sink: EventSink,
    *,
    ids: Mapping[str, Any],
    concurrency: int,
    auth_failures: int = 5,
    on_auth_failures: Callable[[str], None] | None = None,
    clock: Clock = SYSTEM_CLOCK,
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
    return _Builder(settings, sink, ids, concurrency, clock).build(auth_failures, on_auth_failures)


class _Builder:
    """Gathers problems instead of stopping at the first, so that one start shows all of them."""

    def __init__(
        self, settings: ModelSettings, sink: EventSink, ids: Mapping[str, Any], concurrency: int, clock: Clock
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._ids = ids
        self._concurrency = concurrency
        self._clock = clock
        self._pool = HttpPool(concurrency + _SPARE_CONNECTIONS)
        self._limits: dict[str, AdaptiveLimit] = {}
        self._endpoints = EndpointMaker(self._pool, settings, sink, ids, clock)
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
            is_set = getattr(settings, expert_variable(alias).lower()) is not None
            variable = expert_variable(alias) if is_set else "EXPERT_DEFAULT"
            chat = self._tried(
                lambda text=text, variable=variable: self._configured(
                    text, variable, settings.expert_timeout_s, settings.expert_max_tokens
                )
            )
            if chat is not None:
                experts[alias] = chat
        if not any(settings.expert(alias) for alias in EXPERTS["answer"]):
            self._problems.append(
                "no expert can answer: set EXPERT_DEFAULT or one of EXPERT_ANSWER_1 … EXPERT_ANSWER_MATH_2, "
                "such as together/openai/gpt-oss-120b"
            )
        judges = [
            self._tried(lambda text=text: self._configured(text, "JUDGE", settings.judge_timeout_s, None))
            for text in settings.judges
        ]
        if not judges:
            self._problems.append("JUDGE is not set: the model that grades, such as openai/gpt-5.4-mini")
        if twice := sorted({text for text in settings.judges if settings.judges.count(text) > 1}):
            self._problems.append(f"JUDGE names {', '.join(twice)} twice: one judge has one vote")
        for variable, users in self._keyless.items():
            self._problems.append(f"{variable} is not set; it is needed by {', '.join(dict.fromkeys(users))}")
        if self._problems or orchestrator is None:
            raise ConfigError(dict.fromkeys(self._problems))
        return Models(
            orchestrator=orchestrator,
            experts=experts,
            judges=[judge for judge in judges if judge is not None],
            orchestrator_tokens=self._own_tokenizer or EstimateCounter(),
            pool=self._pool,
            limits=self._limits,
            breakers=self._endpoints.breakers,
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
            Access(
                "orchestrator",
                listed_addresses(settings.orchestrator_url, "ORCHESTRATOR_URL"),
                key=key.get_secret_value() if key else "",
                proxy=None if provider.local else settings.model_proxy,
            ),
            self._limit("orchestrator", settings.orchestrator_concurrency or self._concurrency),
            Role(
                timeout_s=settings.orchestrator_timeout_s,
                tokenizer=self._own_tokenizer,
                timing=settings.orchestrator_timing,
                may_be_empty=True,
                traced=True,
            ),
        )

    def _configured(self, text: str, variable: str, timeout_s: float, max_tokens: int | None) -> OpenAIChat | None:
        """An expert or the judge; None when its key is missing, which is one problem for all that need it."""
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
            addresses = listed_addresses(base_url, base_variable)
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
            Access(provider.name, addresses, key, None if provider.local else settings.model_proxy),
            self._limit(name, self._ceiling(provider.name)),
            Role(timeout_s=timeout_s, default_max_tokens=max_tokens),
        )

    def _chat(self, target: Target, access: Access, limit: AdaptiveLimit, role: Role) -> OpenAIChat:
        settings, quirks = self._settings, target.quirks
        endpoints = self._endpoints.make(f"{target.provider}/{target.model}", access, probed=quirks.tokenize)
        server = None
        if quirks.tokenize:
            first, headers = access.addresses[0], headers_of(access.addresses[0], access.key)
            server = ServerTokenizer(
                self._pool, without_password(first), target.model, headers, _TOKENIZE_S, self._clock
            )
        fitting = Fitting(
            context_tokens=quirks.context_tokens,
            max_output_tokens=quirks.max_output_tokens,
            default_max_tokens=role.default_max_tokens,
            tokenizer=self._tokenizer(Path(quirks.tokenizer)) if quirks.tokenizer else role.tokenizer,
            server=server,
        )
        retry = retry_limits(settings, self._clock)
        return OpenAIChat(target, endpoints, role, limit=limit, fitting=fitting, auth=self._auth, retry=retry)

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
            self._limits[name] = AdaptiveLimit(name, maximum, self._sink, self._ids, clock=self._clock)
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
