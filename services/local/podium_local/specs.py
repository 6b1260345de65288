"""The three services as processes: command, environment, health. Each sees only the variables that are its business."""

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from podium_local.health import answers, serves_model
from podium_local.service import ServiceSpec
from podium_local.settings import LocalSettings


def vllm(settings: LocalSettings, environment: Mapping[str, str]) -> ServiceSpec:
    """vLLM, started by Podium's own serve script where ORCHESTRATOR_URL points."""
    host, port = _address(settings.orchestrator_url, "ORCHESTRATOR_URL")
    variables = {
        **without_keys(environment),
        **_gpu(settings.orchestrator_gpu),
        "SERVE_HOST": host,
        "SERVE_PORT": port,
        "SERVE_NAME": settings.orchestrator_model,
    }
    return ServiceSpec(
        name="vllm",
        url=settings.orchestrator_url,
        argv=(sys.executable, "-m", "podium_vllm", "serve"),
        environment=variables,
        healthy=serves_model(settings.orchestrator_url, settings.orchestrator_model),
    )


def retrieval(settings: LocalSettings, environment: Mapping[str, str]) -> ServiceSpec:
    """Retrieval, with two keys: the web search's and that of a remote embeddings server."""
    host, port = _address(settings.retrieval_url, "RETRIEVAL_URL")
    variables = {
        **without_keys(environment, keep=("TAVILY_API_KEY", "RETRIEVAL_EMBEDDER_API_KEY")),
        **_gpu(settings.retrieval_gpu),
        "RETRIEVAL_HOST": host,
        "RETRIEVAL_PORT": port,
    }
    return ServiceSpec(
        name="retrieval",
        url=settings.retrieval_url,
        argv=(sys.executable, "-m", "podium_retrieval", "serve"),
        environment=variables,
        healthy=answers(settings.retrieval_url.rstrip("/") + "/health"),
    )


def sandbox(settings: LocalSettings, environment: Mapping[str, str]) -> ServiceSpec:
    """The sandbox, with nothing but its own settings: what experts write runs below it."""
    host, port = _address(settings.sandbox_url, "SANDBOX_URL")
    passed = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE")
    variables = {
        k: v for k, v in environment.items() if k in passed or (k.startswith("SANDBOX_") and k != "SANDBOX_URL")
    }
    return ServiceSpec(
        name="sandbox",
        url=settings.sandbox_url,
        argv=(sys.executable, "-m", "podium_sandbox", "serve"),
        environment={**variables, "SANDBOX_HOST": host, "SANDBOX_PORT": port},
        healthy=answers(settings.sandbox_url.rstrip("/") + "/health"),
    )


def without_keys(environment: Mapping[str, str], keep: tuple[str, ...] = ()) -> dict[str, str]:
    """The environment without providers' keys, but for those named."""
    return {k: v for k, v in environment.items() if not k.endswith("_API_KEY") or k in keep}


def _gpu(device: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": device} if device else {}


def _address(url: str, setting: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{setting}={url}: an address that podium-local starts a service on needs a host and a port")
    return parts.hostname, str(parts.port)
