"""The orchestrator's replicas and the order of each, from the settings and what the servers say of their caches."""

import asyncio
import logging
from urllib.parse import urlsplit

import aiohttp

from podium_eval.clock import Clock
from podium_eval.models.openai.chat import OpenAIChat
from podium_eval.scheduling.adaptive import Adaptive
from podium_eval.scheduling.admission import Admission
from podium_eval.scheduling.kv_cache import kv_tokens
from podium_eval.scheduling.order import DepthFirst, Order, ServerOrder
from podium_eval.scheduling.program import Programs
from podium_eval.scheduling.replicas import Replica, Replicas
from podium_eval.settings.models import ModelSettings

_log = logging.getLogger(__name__)


async def build_replicas(
    chat: OpenAIChat,
    settings: ModelSettings,
    session: aiohttp.ClientSession,
    clock: Clock,
    *,
    at_once: int,
    run_id: str,
) -> Replicas:
    """Ask each address for the size of its cache where the order needs it, and place the orders.

    at_once: tasks in flight; each replica has its share of them.
    """
    sizes: list[int | None] = [None] * len(chat.places)
    if settings.orchestrator_order == "adaptive":
        wait_s = settings.model_connect_timeout_s
        sizes = await asyncio.gather(
            *(kv_tokens(session, one.url, timeout_s=wait_s, clock=clock) for one in chat.places)
        )
    share = max(1, at_once // len(chat.places))
    replicas = [
        Replica(place.url, place.breaker, Admission(_order(place.url, size, settings, share), clock))
        for place, size in zip(chat.places, sizes, strict=True)
    ]
    if settings.orchestrator_order != "program":
        return Replicas(chat, replicas)
    urls, wait_s = [one.url for one in chat.places], settings.model_connect_timeout_s
    programs = Programs(session, urls, run_id, timeout_s=wait_s, clock=clock)
    return Replicas(chat, replicas, program=programs.id, left=programs.release)


def _order(url: str, size: int | None, settings: ModelSettings, share: int) -> Order:
    if settings.orchestrator_order == "depth_first":
        return DepthFirst()
    if settings.orchestrator_order != "adaptive":
        return ServerOrder()
    where = urlsplit(url).netloc
    if size is None:
        _log.warning(
            "%s does not say what its cache holds (vllm:cache_config_info at /metrics): its turns go in its own order",
            where,
        )
        return ServerOrder()
    _log.info("%s: %d tokens of cache; the order of turns adapts to them (ORCHESTRATOR_ORDER=adaptive)", where, size)
    return Adaptive(size, at_once=share, longest_wait_s=settings.orchestrator_longest_wait_s)
