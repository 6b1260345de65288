"""The web cache's file: shared, bounded, set aside when it is corrupt."""

import logging
import os
import pickle
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from podium_retrieval.web.cache import WebCache

FILE = "pages-1.sqlite3"
WRITER = """
import sys
from pathlib import Path
from podium_retrieval.web.cache import WebCache
cache = WebCache(Path(sys.argv[1]), 50 << 20)
for number in range(100):
    cache.put(f"{sys.argv[2]}-{number}", f"value {number}".encode() * 500)
cache.close()
"""


def test_a_value_is_kept_over_a_restart(tmp_path: Path) -> None:
    cache = WebCache(tmp_path / "new" / "folder", 1 << 20)
    assert cache.get("a") is None
    cache.put("a", b"first")
    cache.put("a", b"second")
    cache.close()
    again = WebCache(tmp_path / "new" / "folder", 1 << 20)
    assert again.get("a") == b"second"
    again.close()


def test_the_oldest_go_when_the_limit_is_reached(tmp_path: Path) -> None:
    cache = WebCache(tmp_path, 1 << 20)
    for number in range(100):
        cache.put(str(number), os.urandom(30_000))
    kept = [number for number in range(100) if cache.get(str(number)) is not None]
    assert kept == list(range(100 - (1 << 20) // 32_768, 100))
    cache.put("too large", bytes(2 << 20))
    assert cache.get("too large") is None
    assert cache.get("99") is not None
    cache.close()
    assert (tmp_path / FILE).stat().st_size < 1.1 * (1 << 20)


def test_processes_write_to_one_file(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    cache = WebCache(tmp_path, 50 << 20)
    for writer in range(3):
        for number in range(100):
            assert cache.get(f"{writer}-{number}") == f"value {number}".encode() * 500
    cache.close()


def test_threads_share_one_cache(tmp_path: Path) -> None:
    cache = WebCache(tmp_path, 50 << 20)

    def use(number: int) -> bytes | None:
        cache.put(str(number), str(number).encode() * 1000)
        return cache.get(str(number))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(use, range(200))) == [str(number).encode() * 1000 for number in range(200)]
    cache.close()


def test_a_corrupt_file_is_set_aside_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all " * 1000)
    with caplog.at_level(logging.WARNING):
        cache = WebCache(tmp_path, 1 << 20)
    cache.put("a", b"value")
    assert cache.get("a") == b"value"
    cache.close()
    assert (tmp_path / f"{FILE}.corrupt").read_bytes().startswith(b"no database")
    assert str(tmp_path / f"{FILE}.corrupt") in caplog.text


def test_damage_met_while_reading_begins_a_new_file(tmp_path: Path) -> None:
    first = WebCache(tmp_path, 10 << 20)
    for number in range(50):
        first.put(str(number), os.urandom(20_000))
    first.close()
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:100] + content[100:4096] + b"\xff" * (len(content) - 4096))
    cache, other = WebCache(tmp_path, 10 << 20), WebCache(tmp_path, 10 << 20)
    assert cache.get("7") is None
    cache.put("7", b"again")
    assert other.get("7") == b"again", "the second takes the new file, and does not set it aside"
    cache.close()
    other.close()


def test_a_locked_file_is_a_named_error(tmp_path: Path) -> None:
    cache = WebCache(tmp_path, 1 << 20)
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        cache.put("a", b"value")
    assert cache.get("a") is None  # readers do not wait
    holder.close()
    cache.close()


def test_a_pickle_in_the_file_is_bytes(tmp_path: Path) -> None:
    cache = WebCache(tmp_path, 1 << 20)
    cache.put("a", pickle.dumps(Path.cwd))
    assert cache.get("a") == pickle.dumps(Path.cwd)
    cache.close()


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        WebCache(tmp_path / "file" / "web", 1 << 20)
