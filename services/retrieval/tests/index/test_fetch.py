"""fetch-index against a hub on the loopback interface."""

import hashlib
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from podium_retrieval.__main__ import main
from podium_retrieval.errors import StartError
from podium_retrieval.index.fetch import Hub, fetch_index

COMMIT = "c" * 40
INDEX, LINES = bytes(range(256)) * 4096, b'{"contents": "a passage"}\n' * 100
SOURCE = "hub:owner/name"


class LoopbackHub(ThreadingHTTPServer):
    """One dataset repository. cut: bytes after which the next download's connection breaks; ranges: asked for."""

    def __init__(self) -> None:
        self.files = {"eval.index": INDEX, "eval.jsonl": LINES}
        self.token: str | None = None
        self.wrong_size: int | None = None
        self.cut: int | None = None
        self.ranges: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def hub(self, token: str | None = None) -> Hub:
        return Hub(f"http://127.0.0.1:{self.server_port}", token, 5.0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackHub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.reply(403, X_Error_Code="GatedRepo")
        elif self.path.startswith("/api/datasets/owner/name/revision/"):
            self.reply(200, json.dumps({"sha": COMMIT}).encode())
        elif self.path.startswith(f"/api/datasets/owner/name/tree/{COMMIT}"):
            self.reply(200, json.dumps([self.entry(name, body) for name, body in self.server.files.items()]).encode())
        elif self.path.startswith(f"/datasets/owner/name/resolve/{COMMIT}/"):
            self.file(self.server.files[self.path.rpartition("/")[2]])
        else:
            self.reply(404)

    def entry(self, name: str, body: bytes) -> dict[str, Any]:
        if name == "eval.jsonl":  # small files are plain git blobs
            oid = hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
            return {"type": "file", "path": name, "size": len(body), "oid": oid}
        size = self.server.wrong_size or len(body)
        return {"type": "file", "path": name, "size": size, "oid": "0" * 40,
                "lfs": {"oid": hashlib.sha256(INDEX).hexdigest(), "size": size}}  # fmt: skip

    def file(self, body: bytes) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0  # pyright: ignore
        part = body[begin:]
        if self.server.cut is not None:
            cut, self.server.cut = self.server.cut, None
            self.reply(206 if asked else 200, part[:cut], length=len(part))
            self.close_connection = True
            return
        self.reply(206 if asked else 200, part)


@pytest.fixture
def server() -> Iterator[LoopbackHub]:
    made = LoopbackHub()
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def no_gpu() -> int | None:
    return None


def test_both_files_arrive_whole_and_nothing_else_is_left(server: LoopbackHub, tmp_path: Path) -> None:
    fetch_index(SOURCE, tmp_path / "index", server.hub(), no_gpu)
    assert {p.name: p.read_bytes() for p in (tmp_path / "index").iterdir()} == server.files


def test_a_broken_connection_is_gone_on_with(server: LoopbackHub, tmp_path: Path) -> None:
    server.cut = 300_000
    fetch_index(SOURCE, tmp_path, server.hub(), no_gpu)
    assert (tmp_path / "eval.index").read_bytes() == INDEX
    begun = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges if asked]
    assert len(begun) == 1
    assert 0 < begun[0] <= 300_000


def test_a_stopped_fetch_goes_on_and_fetches_nothing_twice(server: LoopbackHub, tmp_path: Path) -> None:
    part = tmp_path / f"eval.index.{hashlib.sha256(INDEX).hexdigest()[:12]}.part"
    part.write_bytes(INDEX[:500_000])
    fetch_index(SOURCE, tmp_path, server.hub(), no_gpu)
    assert server.ranges == ["bytes=500000-", None]
    fetch_index(SOURCE, tmp_path, server.hub(), no_gpu)
    assert len(server.ranges) == 2
    assert not part.exists()


def test_content_with_another_hash_is_thrown_away(server: LoopbackHub, tmp_path: Path) -> None:
    server.files["eval.index"] = b"x" + INDEX[1:]
    with pytest.raises(StartError, match="its sha256 is"):
        fetch_index(SOURCE, tmp_path, server.hub(), no_gpu)
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_cannot_hold_is_not_begun(server: LoopbackHub, tmp_path: Path) -> None:
    server.wrong_size = 10**18
    with pytest.raises(StartError, match="nothing was fetched"):
        fetch_index(SOURCE, tmp_path, server.hub(), no_gpu)
    assert server.ranges == []


def test_what_the_gpu_cannot_hold_is_not_begun(server: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="RETRIEVAL_INDEX_DEVICE=cpu"):
        fetch_index(SOURCE, tmp_path, server.hub(), lambda: len(INDEX) - 1)
    assert server.ranges == []


def test_a_gated_repository_names_the_token(server: LoopbackHub, tmp_path: Path) -> None:
    server.token = "right"
    with pytest.raises(StartError, match="HF_TOKEN"):
        fetch_index(SOURCE, tmp_path, server.hub(), no_gpu)
    fetch_index(SOURCE, tmp_path, server.hub("right"), no_gpu)
    assert (tmp_path / "eval.jsonl").read_bytes() == LINES


@pytest.mark.parametrize(
    ("source", "line"), [("owner/name", "hub:owner/name or"), ("hub:owner/other", "no such repository")]
)
def test_a_source_that_is_none_is_one_line(
    source: str, line: str, server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.hub().endpoint)
    monkeypatch.setenv("RETRIEVAL_INDEX_DEVICE", "cpu")
    assert main(["fetch-index", source, "--index-dir", str(tmp_path)]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in told


def test_the_command_fetches_into_index_dir(
    server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.hub().endpoint)
    monkeypatch.setenv("RETRIEVAL_INDEX_DEVICE", "cpu")
    monkeypatch.setenv("INDEX_DIR", str(tmp_path))
    assert main(["fetch-index", SOURCE]) == 0
    assert "holds eval.index and eval.jsonl" in capsys.readouterr().out
    assert (tmp_path / "eval.index").read_bytes() == INDEX
