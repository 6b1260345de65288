"""fetch-index: eval.index and eval.jsonl from a repository of the hub into INDEX_DIR, going on where it was stopped."""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import httpx2
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from podium_retrieval.errors import StartError
from podium_retrieval.files import alone
from podium_retrieval.outgoing import describe_failure

FILES: Final = ("eval.index", "eval.jsonl")
_SOURCE: Final = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?\Z")
_CHUNK: Final = 1 << 20
_GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the hub is and who asks. timeout_s: longest silence of it."""

    endpoint: str
    token: str | None
    timeout_s: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Hub":
        """HF_ENDPOINT, HF_TOKEN and HF_HUB_DOWNLOAD_TIMEOUT, as the hub's own library reads them.

        Raises:
            StartError: the time-out is no number above 0.
        """
        written = environment.get("HF_HUB_DOWNLOAD_TIMEOUT") or "30"
        try:
            timeout_s = float(written)
        except ValueError:
            timeout_s = 0.0
        if not 0 < timeout_s < float("inf"):
            raise StartError(f"HF_HUB_DOWNLOAD_TIMEOUT={written}: must be seconds above 0")
        endpoint = (environment.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        return cls(endpoint, (environment.get("HF_TOKEN") or "").strip() or None, timeout_s)


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file of the repository. algorithm and digest: of its content, sha256 or git's sha1 of a blob."""

    name: str
    url: str
    size: int
    algorithm: str
    digest: str


def fetch_index(source: str, folder: Path | None, hub: Hub, gpu_bytes: Callable[[], int | None]) -> None:
    """Fetch both files of `source` (hub:owner/name[@revision]); each appears under its name whole and checked.

    gpu_bytes: memory of the GPU that is to hold the index; None where there is none or the CPU is to hold it.

    Raises:
        StartError: the source, the hub, the disk, the GPU or a file's hash will not do.
    """
    match = _SOURCE.match(source)
    if match is None:
        raise StartError(f"{source}: name the index as hub:owner/name or hub:owner/name@revision")
    if folder is None:
        raise StartError("INDEX_DIR is not set: name the folder to fetch into (--index-dir)")
    headers = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            alone(folder, "fetch-index"),
            httpx2.Client(headers=headers, timeout=hub.timeout_s, follow_redirects=True) as client,
        ):
            wanted = _listed(client, hub, match["repo"], match["revision"] or "main")
            left = [remote for remote in wanted if not _is_there(folder / remote.name, remote.size)]
            _refuse_what_does_not_fit(wanted, left, folder, gpu_bytes())
            for remote in left:
                _fetch(client, remote, folder, hub)
    except httpx2.HTTPError as error:
        raise StartError(
            f"{source}: {describe_failure(error, hub.token)}; the same command goes on from here"
        ) from error
    except OSError as error:
        raise StartError(f"INDEX_DIR={folder}: {error.strerror}; the same command goes on from here") from error


def _listed(client: httpx2.Client, hub: Hub, repo: str, revision: str) -> list[_Remote]:
    """The two files as the repository, a dataset or a model, has them at one commit."""
    for kind, prefix in (("datasets", "datasets/"), ("models", "")):
        answer = client.get(f"{hub.endpoint}/api/{kind}/{repo}/revision/{revision}")
        if answer.status_code in (401, 403) and answer.headers.get("X-Error-Code") == "GatedRepo":
            raise StartError(f"hub:{repo} is gated: accept its terms on its page, then set HF_TOKEN to that account's")
        if answer.status_code not in (401, 404):
            answer.raise_for_status()
            commit = answer.json()["sha"]
            entries = client.get(f"{hub.endpoint}/api/{kind}/{repo}/tree/{commit}", params={"recursive": "true"})
            entries.raise_for_status()
            return _chosen(entries.json(), f"{hub.endpoint}/{prefix}{repo}/resolve/{commit}", repo)
    raise StartError(f"hub:{repo}: no such repository or revision {revision}, or HF_TOKEN may not read it")


def _chosen(entries: list[dict[str, Any]], address: str, repo: str) -> list[_Remote]:
    chosen: list[_Remote] = []
    for name in FILES:
        matches = [entry for entry in entries if entry["type"] == "file" and PurePosixPath(entry["path"]).name == name]
        if len(matches) != 1:
            raise StartError(
                f"hub:{repo} holds {len(matches)} files named {name}: an index has one eval.index, one eval.jsonl"
            )
        lfs = matches[0].get("lfs")
        digest = ("sha256", lfs["oid"]) if lfs else ("sha1", matches[0]["oid"])
        size = int((lfs or matches[0])["size"])
        chosen.append(_Remote(name, f"{address}/{matches[0]['path']}", size, *digest))
    return chosen


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _part(folder: Path, remote: _Remote) -> Path:
    """What is there of a file so far, under its digest: work of another commit is not gone on with."""
    return folder / f"{remote.name}.{remote.digest[:12]}.part"


def _refuse_what_does_not_fit(wanted: list[_Remote], left: list[_Remote], folder: Path, gpu: int | None) -> None:
    index = wanted[0].size
    if gpu is not None and index > gpu:
        raise StartError(
            f"eval.index has {index / _GB:.1f} GB and the largest GPU {gpu / _GB:.1f} GB: nothing was fetched; "
            "RETRIEVAL_INDEX_DEVICE=cpu holds it in memory"
        )
    parts = [_part(folder, remote) for remote in left]
    needed = sum(remote.size for remote in left) - sum(part.stat().st_size for part in parts if part.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StartError(
            f"INDEX_DIR={folder}: {needed / _GB:.1f} GB to fetch and {free / _GB:.1f} GB free: nothing was fetched"
        )


def _fetch(client: httpx2.Client, remote: _Remote, folder: Path, hub: Hub) -> None:
    part = _part(folder, remote)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(remote.name, total=remote.size)
        while (begun := part.stat().st_size if part.exists() else 0) < remote.size:
            progress.update(bar, completed=begun)
            try:
                _append(client, remote, part, begun, lambda n: progress.advance(bar, n))
            except httpx2.TransportError:
                # A connection that broke after some bytes is made again; one that brings none is given up.
                if not part.exists() or part.stat().st_size <= begun:
                    raise
        progress.update(bar, description=f"checking {remote.name}", completed=0)
        digest = _digest(part, remote, lambda n: progress.advance(bar, n))
    if digest != remote.digest:
        part.unlink()
        raise StartError(
            f"{remote.name}: its {remote.algorithm} is {digest}, not {remote.digest}: thrown away; fetch it again"
        )
    part.replace(folder / remote.name)


def _append(client: httpx2.Client, remote: _Remote, part: Path, begun: int, moved: Callable[[int], None]) -> None:
    headers = {"Range": f"bytes={begun}-", "Accept-Encoding": "identity"} if begun else {"Accept-Encoding": "identity"}
    with client.stream("GET", remote.url, headers=headers) as answer:
        answer.raise_for_status()
        # As pieces come: a break must not cost a megabyte. A server that knows no ranges sends the whole file again.
        with part.open("ab" if answer.status_code == 206 else "wb") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                moved(len(chunk))
    if part.stat().st_size > remote.size or part.stat().st_size <= begun:
        part.unlink()
        raise StartError(f"{remote.name}: the hub sent another size than the {remote.size} bytes that it lists")


def _digest(path: Path, remote: _Remote, moved: Callable[[int], None]) -> str:
    digest = hashlib.new(remote.algorithm, usedforsecurity=False)
    if remote.algorithm == "sha1":
        digest.update(f"blob {remote.size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            moved(len(chunk))
    return digest.hexdigest()


def largest_gpu() -> int | None:
    """Bytes of the largest GPU that torch sees; None: there is none."""
    import torch  # seconds, and only for an index that a GPU shall hold

    count = torch.cuda.device_count()
    return max((int(torch.cuda.mem_get_info(n)[1]) for n in range(count)), default=None)
