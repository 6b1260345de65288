"""Is vLLM up, and does it serve its model? urllib only: the official image has no curl to rely on."""

import json
import urllib.error
import urllib.request
from typing import Any


class Unhealthy(RuntimeError):
    """The server is not ready; the message holds its answer."""


def check(url: str, name: str, timeout_s: float) -> None:
    """Return when GET /health is 200 and GET /v1/models lists `name`.

    `url` is the server's root, with or without a trailing /v1.

    Raises:
        Unhealthy: no answer within `timeout_s` seconds, another status, or another model.
    """
    root = url.rstrip("/").removesuffix("/v1")
    _get(f"{root}/health", timeout_s)
    body = _get(f"{root}/v1/models", timeout_s)
    try:
        models: list[Any] = [model["id"] for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unhealthy(f"{root}/v1/models answered no list of models: {body[:200]!r}") from error
    if name not in models:
        raise Unhealthy(f"{root} serves {', '.join(map(str, models)) or 'no model'}, not {name}")


def _get(url: str, timeout_s: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return response.read()
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Unhealthy(f"{url}: {error}") from error
