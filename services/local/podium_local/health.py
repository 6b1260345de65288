"""Readiness checks of services: one small request by urllib in a thread, no client to keep."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable

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
        with urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        raise NotReady(f"{url}: {error.code} {error.read(500).decode(errors='replace')}") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise NotReady(f"{url}: {error}") from error
