"""The three services as processes: command, environment, health. Each sees only the variables that are its business."""

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from podium_local.health import answers, serves_model
from podium_local.service import ServiceSpec
from podium_local.settings import LocalSettings


def orchestrators(settings: LocalSettings, environment: Mapping[str, str]) -> list[ServiceSpec]:
    """vLLM by Podium's own serve script, one replica for each address of ORCHESTRATOR_URL, the GPUs divided among them.

    Raises:
        ValueError: an address without host and port, or GPUs that the replicas cannot share evenly.
    """
    urls = [url.strip() for url in settings.orchestrator_url.split(",") if url.strip()]
    gpus = [gpu.strip() for gpu in settings.orchestrator_gpu.split(",") if gpu.strip()]
    each, rest = divmod(len(gpus), max(1, len(urls)))
    if rest:
        raise ValueError(
            f"ORCHESTRATOR_GPU={settings.orchestrator_gpu}: {len(gpus)} GPUs for the {len(urls)} addresses of "
            "ORCHESTRATOR_URL: name as many for each replica"
        )
    return [
        _vllm(
            settings, environment, url, ",".join(gpus[each * index : each * (index + 1)]), index if urls[1:] else None
        )
        for index, url in enumerate(urls)
    ]


def _vllm(
    settings: LocalSettings, environment: Mapping[str, str], url: str, gpus: str, replica: int | None
) -> ServiceSpec:
    host, port = _address(url, "ORCHESTRATOR_URL")
    variables = {
        **without_keys(environment),
        **_gpu(gpus),
        "SERVE_HOST": host,
        "SERVE_PORT": port,
        "SERVE_NAME": settings.orchestrator_model,
    }
    return ServiceSpec(
        name="vllm" if replica is None else f"vllm-{replica + 1}",
        url=url,
        argv=(sys.executable, "-m", "podium_vllm", "serve"),
        environment=variables,
        healthy=serves_model(url, settings.orchestrator_model),
        reused="vllm" in settings.reuse,
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
        reused="retrieval" in settings.reuse,
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
        reused="sandbox" in settings.reuse,
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
