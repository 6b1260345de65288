"""build-index and serve as the processes that they are: results, resumption, errors, drain."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import faiss
import httpx2
import numpy as np
import pytest
from podium_retrieval import __main__ as console
from podium_retrieval.errors import StartError
from podium_retrieval.settings import Settings
from podium_retrieval.start import make_ready

PLAIN = {
    "EMBEDDING_MODEL": "embedded",
    "RETRIEVAL_DTYPE": "float32",
    "RETRIEVAL_CALIBRATION_S": "0.5",
    "RETRIEVAL_PORT": "0",
    "RETRIEVAL_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
BIRDS = ("falcon", "heron", "osprey", "plover", "wren", "swift", "robin", "magpie", "jackdaw", "kestrel", "curlew")


def environment(**changes: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RETRIEVAL_", "INDEX_", "TAVILY"))
    }
    return {**kept, **PLAIN, **changes}


def command(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "podium_retrieval", *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_corpus(path: Path, count: int) -> Path:
    lines = [
        {
            "id": f"d{n}",
            "contents": f"{BIRDS[n % len(BIRDS)]} {n}: " + "a bird that is described at some length here. " * 3,
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 60 documents, built by the command."""
    folder = tmp_path_factory.mktemp("built")
    done = command(
        "build-index", "--corpus", str(write_corpus(folder / "corpus.jsonl", 60)), "--index-dir", str(folder / "index")
    )
    assert done.returncode == 0, done.stderr
    return folder / "index"


def test_a_built_index_holds_each_document(built: Path) -> None:
    index = faiss.read_index(str(built / "eval.index"))
    assert (index.ntotal, index.d) == (60, 384)
    assert len((built / "eval.jsonl").read_text().splitlines()) == 60
    assert not (built / "build").exists()
    assert sorted(one.name for one in built.iterdir()) == ["eval.index", "eval.jsonl", "eval.jsonl.offsets.npy"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"contents": "fine"}', "{"], "corpus.jsonl line 2 is no JSON"),
        (['{"contents": "fine"}', '{"contents": " "}'], "corpus.jsonl line 2 has an empty text"),
        (['{"contents": "fine"}', "", '{"contents": "fine"}'], "corpus.jsonl line 2 is no JSON"),
        (["5"], "corpus.jsonl line 1 is no JSON object"),
        ([], "corpus.jsonl is empty"),
    ],
)
def test_a_bad_line_stops_the_build_before_any_work(tmp_path: Path, lines: list[str], said: str) -> None:
    from podium_retrieval.index.build import build_index

    (tmp_path / "corpus.jsonl").write_text("".join(line + "\n" for line in lines))
    settings = Settings(corpus=tmp_path / "corpus.jsonl", index_dir=tmp_path / "index", embedding_model="/nowhere")
    with pytest.raises(StartError, match=said):
        build_index(settings)


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", 3000)
    index = tmp_path / "index"
    argv = ["build-index", "--corpus", str(corpus), "--index-dir", str(index), "--document-tokens", "8"]
    vectors = index / "build" / "vectors.f16"
    process = subprocess.Popen(
        [sys.executable, "-m", "podium_retrieval", *argv],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (vectors.exists() and vectors.stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    before = vectors.read_bytes()
    assert not (index / "eval.index").exists()
    vectors.write_bytes(before + b"torn")  # a row cut off in the middle
    other = command("build-index", "--corpus", str(corpus), "--index-dir", str(index), "--document-tokens", "9")
    assert other.returncode == 2
    assert "--restart" in other.stderr
    done = command(*argv)
    assert done.returncode == 0, done.stderr
    rows = len(before) // 768
    assert f"going on after {rows} of 3000" in done.stderr
    made = faiss.read_index(str(index / "eval.index"))
    assert made.ntotal == 3000
    kept = np.frombuffer(before, np.float16).reshape(rows, 384).astype(np.float32)
    assert np.array_equal(made.reconstruct_n(0, rows), kept)
    assert np.allclose(np.linalg.norm(made.reconstruct_n(rows, 3000 - rows), axis=1), 1, atol=2e-3)


def settings_for(built: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {"index_dir": built, "embedding_model": "embedded", "retrieval_batch_tokens": 512}
    return Settings(**{**values, **changes})


def linked(built: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("eval.index", "eval.jsonl"):
        (folder / name).write_bytes((built / name).read_bytes())
    return folder


def test_what_is_wrong_stops_the_start_in_one_line(built: Path, tmp_path: Path) -> None:
    def message(**changes: Any) -> str:
        with pytest.raises(StartError) as caught:
            make_ready(settings_for(built, **changes))
        text = str(caught.value)
        assert "\n" not in text
        return text

    assert "INDEX_DIR is not set" in message(index_dir=None)
    assert "is no folder" in message(index_dir=tmp_path / "nowhere")
    assert "lacks eval.index" in message(index_dir=tmp_path)
    (tmp_path / "eval.index").write_bytes(b"x")
    assert "lacks eval.jsonl" in message(index_dir=tmp_path)
    shorter = linked(built, tmp_path / "shorter")
    lines = (shorter / "eval.jsonl").read_text().splitlines(keepends=True)
    (shorter / "eval.jsonl").write_text("".join(lines[:-1]))
    assert "has 59 lines and eval.index 60 vectors" in message(index_dir=shorter)
    narrow = linked(built, tmp_path / "narrow")
    index = faiss.IndexFlatIP(8)
    index.add(np.ones((60, 8), np.float32))
    faiss.write_index(index, str(narrow / "eval.index"))
    assert "gives vectors of 384 numbers" in message(index_dir=narrow)
    assert "does not exist" in message(embedding_model="/nowhere/model")
    assert "EXAMPLE_IDS_FILE" in message(example_ids_file=tmp_path / "none.json")
    (tmp_path / "ids.json").write_text('{"1": "d1"}')
    assert "no list of document ids" in message(example_ids_file=tmp_path / "ids.json")
    assert "no GPU is usable" in message(retrieval_device="cuda:3")
    assert "RETRIEVAL_INDEX_DEVICE=gpu is none of" in message(retrieval_index_device="gpu")
    assert "neither sentence-transformers nor an address" in message(retrieval_embedder="vllm")


def test_the_command_fails_with_its_line_and_status_2(tmp_path: Path) -> None:
    missing = command("serve", INDEX_DIR=str(tmp_path / "gone"))
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "INDEX_DIR=" in missing.stderr
    wrong = command("serve", RETRIEVAL_PORT="99999")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "RETRIEVAL_PORT='99999'" in wrong.stderr
    beyond = command("serve", RETRIEVAL_MAX_TOPK="5000")
    assert "exceeds RETRIEVAL_CANDIDATES" in beyond.stderr


def test_a_served_index_answers_announces_and_drains(built: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "podium_retrieval", "serve"],
        env=environment(INDEX_DIR=str(built)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert {"model", "dimension", "index", "n", "device", "batch_tokens"} <= line.keys()
        assert (line["n"], line["dimension"], line["index"], line["packed"]) == (60, 384, "flat-float32", True)
        with httpx2.Client(base_url=f"http://127.0.0.1:{line['port']}", timeout=30) as client:
            wait_until_healthy(client)
            (row,) = client.post("/retrieve", json={"queries": ["curlew"], "topk": 3, "return_scores": True}).json()
            assert all(entry["document"]["contents"].startswith("curlew") for entry in row)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (0, -signal.SIGTERM)
    records = [json.loads(text) for text in errors.splitlines() if text.startswith("{")]
    assert any("Shutting down" in one["message"] for one in records)


class HangingEmbedder(ThreadingHTTPServer):
    """An embeddings server that answers the first text, and keeps every other waiting until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Semaphore(0), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
                if any("hang" in text for text in texts):
                    outer.asked.release()
                    outer.let_go.wait(30)
                data = [{"index": n, "embedding": [1.0] + [0.0] * 383} for n in range(len(texts))]
                body = json.dumps({"data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


def test_a_drain_that_runs_out_is_answered_in_json(built: Path) -> None:
    embedder = HangingEmbedder()
    threading.Thread(target=embedder.serve_forever, daemon=True).start()
    process = subprocess.Popen(
        [sys.executable, "-m", "podium_retrieval", "serve"],
        env=environment(
            INDEX_DIR=str(built),
            RETRIEVAL_EMBEDDER=f"http://127.0.0.1:{embedder.server_port}/v1",
            RETRIEVAL_DRAIN_S="0.5",
            RETRIEVAL_BATCH_TOKENS="64",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"POST /retrieve HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
        half.settimeout(20)
        with ThreadPoolExecutor() as pool, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_until_healthy(client)
            running = pool.submit(client.post, "/retrieve", json={"queries": ["hang on"], "topk": 3})
            assert embedder.asked.acquire(timeout=20)
            process.send_signal(signal.SIGTERM)
            assert half.recv(4096).startswith(b"HTTP/1.1 503 ")
            answer = running.result(20)
        half.close()
        embedder.let_go.set()
        process.wait(20)
    finally:
        embedder.let_go.set()
        process.kill()
        process.wait(10)
        embedder.shutdown()
        embedder.server_close()
        if process.stdout is not None:
            process.stdout.close()
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "shutting_down")


def test_a_missing_hf_transfer_is_turned_off_with_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(console, "find_spec", lambda _: None)
    monkeypatch.setenv("HF_HUB_ENABLE_HF_TRANSFER", "1")
    console.without_missing_hf_transfer()
    assert os.environ["HF_HUB_ENABLE_HF_TRANSFER"] == "0"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    monkeypatch.setattr(console, "find_spec", lambda _: object())
    monkeypatch.setenv("HF_HUB_ENABLE_HF_TRANSFER", "1")
    console.without_missing_hf_transfer()
    assert os.environ["HF_HUB_ENABLE_HF_TRANSFER"] == "1"


def wait_until_healthy(client: httpx2.Client) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx2.ConnectError:
            pass
        time.sleep(0.02)
    raise AssertionError("never healthy")
