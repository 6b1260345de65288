import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from podium_eval.commands.data import main
from podium_eval.dataset.hub import is_on_hub, load_dataset
from podium_eval.dataset.selection import DatasetError, Selection
from podium_eval.settings.run import HubSettings
from pydantic import SecretStr

FIELDS = Path(__file__).parents[2] / "podium_eval" / "data" / "fields" / "questions.jsonl"
COMMIT = "c" * 40


class Hub(ThreadingHTTPServer):
    """The hub's dataset API for one gated repository, as huggingface_hub asks for it."""

    def __init__(self, files: dict[str, bytes], token: str, code: str = "GatedRepo") -> None:
        self.files, self.token, self.code = files, token, code
        self.downloads = 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if not self.path.startswith(("/api/datasets/cais/hle", "/datasets/cais/hle")):
            self.reply(404, X_Error_Code="RepoNotFound")
        elif self.headers.get("authorization") != f"Bearer {self.server.token}":
            self.reply(403 if self.server.code == "GatedRepo" else 401, X_Error_Code=self.server.code)
        elif "/tree/" in self.path:
            entries = [
                {"type": "file", "path": n, "size": len(b), "oid": "0" * 40} for n, b in self.server.files.items()
            ]
            self.reply(200, json.dumps(entries).encode())
        elif "/revision/" in self.path:
            if "/revision/main" not in self.path:
                self.reply(404, X_Error_Code="RevisionNotFound")
                return
            siblings = [{"rfilename": name} for name in self.server.files]
            self.reply(200, json.dumps({"_id": "1", "id": "cais/hle", "sha": COMMIT, "siblings": siblings}).encode())
        else:
            body = self.server.files[self.path.split(f"/resolve/{COMMIT}/")[1]]
            self.server.downloads += self.command == "GET"
            self.reply(200, body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


@pytest.fixture
def parquet(tmp_path: Path) -> bytes:
    path = tmp_path / "source.parquet"
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in FIELDS.read_text().splitlines()]), path)
    return path.read_bytes()


@pytest.fixture
def hub(parquet: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # huggingface_hub reads its cache's place once, when imported: set where it keeps it.
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {"README.md": b"x", "data/train-0.parquet": b"PAR1", "data/test-00000-of-00001.parquet": parquet}
    with Hub(files, token="right") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(hub: Hub, token: str | None = "right", **fields: Any) -> HubSettings:
    return HubSettings(hf_endpoint=hub.url, hf_token=SecretStr(token) if token else None, **fields)


def test_the_test_split_is_fetched_once_and_its_commit_named(hub: Hub, parquet: bytes):
    data = load_dataset("hub:cais/hle", Selection(limit=5), settings(hub))
    assert (data.n, data.n_selected) == (20, 5)
    assert data.path == f"hub:cais/hle@{COMMIT}"
    assert data.sha256 == hashlib.sha256(parquet).hexdigest()
    before = hub.downloads
    assert load_dataset("hub:cais/hle", Selection(), settings(hub)).n == 20
    assert hub.downloads == before


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"hub:cais/hle is gated and HF_TOKEN is not set: accept the terms"),
        ("wrong", r"hub:cais/hle is gated and the account of HF_TOKEN has not accepted them"),
    ],
)
def test_the_gate_is_named(hub: Hub, token: str | None, message: str):
    with pytest.raises(DatasetError, match=message) as error:
        load_dataset("hub:cais/hle", Selection(), settings(hub, token))
    assert "\n" not in str(error.value)


def test_other_refusals_are_named(hub: Hub):
    with pytest.raises(DatasetError, match=r"hub:cais/other: no such dataset, or HF_TOKEN may not read it"):
        load_dataset("hub:cais/other", Selection(), settings(hub))
    with pytest.raises(DatasetError, match=r"hub:cais/hle: has no revision 'v9'"):
        load_dataset("hub:cais/hle@v9", Selection(), settings(hub))
    with pytest.raises(DatasetError, match="no Parquet or JSON file of the split 'dev'; set DATASET_SPLIT"):
        load_dataset("hub:cais/hle", Selection(), settings(hub, dataset_split="dev"))
    with pytest.raises(DatasetError, match="name a hub dataset as hub:owner/name"):
        load_dataset("hub:hle", Selection(), settings(hub))


def test_an_unreachable_hub_is_named(hub: Hub):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(DatasetError, match="the hub cannot be reached and the dataset is not in the cache"):
        load_dataset("hub:cais/hle", Selection(), settings(hub))


def test_a_file_needs_no_hub():
    assert load_dataset(str(FIELDS), Selection(), HubSettings()).n == 20


def test_a_hub_dataset_is_checked_by_command(hub: Hub, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "hub:cais/hle"], dataset=None, hub=settings(hub)) == 0
    assert "20 rows, 20 good, 0 problem(s)" in capsys.readouterr().out


def test_the_hubs_own_name_needs_no_prefix(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert load_dataset("cais/hle", Selection(), settings(hub)).path == f"hub:cais/hle@{COMMIT}"
    assert main(["check", "cais/hle"], dataset=None, hub=settings(hub)) == 0
    assert f"hub:cais/hle@{COMMIT}: 20 rows" in capsys.readouterr().out
    assert main(["describe"], dataset="cais/hle@main", hub=settings(hub)) == 0


def test_a_name_found_nowhere_mentions_file_and_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"no such dataset.*there is no file cais/other either"):
        load_dataset("cais/other", Selection(), settings(hub))
    (tmp_path / "cais").mkdir()
    with pytest.raises(DatasetError, match="No such file"):
        load_dataset("cais/hle", Selection(), settings(hub))


def test_what_means_a_file_stays_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "hle").write_bytes(FIELDS.read_bytes())
    assert load_dataset("here/hle", Selection(), HubSettings()).n == 20
    files = ("datasets/hle.jsonl", "datasets/hle.Parquet", "datasets/hle.jsonl.gz", "./hle", "../hle", "/a/hle", "hle")
    assert [name for name in (*files, "here/other", "a/b/c") if is_on_hub(name)] == []
    assert is_on_hub("hub:here/hle")


@pytest.mark.parametrize("address", ["https://hub.example/datasets/cais/hle", "hf://datasets/cais/hle"])
def test_an_address_is_told_from_a_name(address: str):
    with pytest.raises(DatasetError, match="is an address; name a hub dataset as owner/name"):
        load_dataset(address, Selection(), HubSettings())


@pytest.mark.parametrize("name", ["test.jsonl", "data/test-0.jsonl.gz", "test.json"])
def test_a_hub_dataset_in_json_is_read(hub: Hub, name: str):
    content = FIELDS.read_bytes()
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".json"):
        content = json.dumps([json.loads(line) for line in content.splitlines()]).encode()
    hub.files = {"test_infos.json": b"{}", "README.md": b"x", name: content}
    assert load_dataset("cais/hle", Selection(), settings(hub)).n == 20
