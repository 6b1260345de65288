"""Readiness checks of services: one small request in a thread, no client to keep."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import requests

from podium_local.service import NotReady

REQUEST_TIMEOUT_S = 5.0


def answers(url: str) -> Callable[[], Awaitable[None]]:
    """A check that GET `url` is 200."""

    async def check() -> None:
        await asyncio.to_thread(_get, url)

    return check


def serves_model(base_url: str, model: str) -> Callable[[], Awaitable[None]]:
    """A check that the OpenAI-compatible server at `base_url` (…/v1) lists `model`."""

    async def check() -> None:
        body = await asyncio.to_thread(_get, base_url.rstrip("/") + "/models")
        try:
            models = [str(entry["id"]) for entry in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise NotReady(f"{base_url}/models answered no list of models") from error
        if model not in models:
            raise NotReady(f"{base_url} serves {', '.join(models) or 'no model'}, not {model}")

    return check


def _get(url: str) -> bytes:
    try:
        response = requests.get(url, timeout=REQUEST_TIMEOUT_S)
    except requests.RequestException as error:
        raise NotReady(f"{url}: {_root(error)}") from error
    if not response.ok:
        raise NotReady(f"{url}: {response.status_code} {response.text[:500]}")
    return response.content


def _root(error: BaseException) -> BaseException:
    """What requests wraps: the refusal or the time limit itself, in its own words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
