"""What the watch counts: each page and each file once, and none that is hidden."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_sandbox.run.disk import Disk
from podium_sandbox.run.usage import measure

Sandbox = Any  # conftest's Service
Start = Callable[..., Any]  # conftest's start_sandbox
MIB = 1 << 20
TOO_MANY_BYTES = "its files took more than their limit of 8 MiB"


def one_process(sandbox: Sandbox) -> bool:
    return sandbox.health()["walls"]["namespaces"] is None


def assert_disk_full(answer: dict[str, Any]) -> None:
    assert answer["status"] in ("error", "killed"), answer
    assert "No space left" in answer["stderr"] or TOO_MANY_BYTES in answer["stderr"], answer


@pytest.mark.parametrize(
    "keep",
    [
        "kept.append(os.open(name, os.O_RDWR))",
        "fd = os.open(name, os.O_RDWR)\n    kept.append(mmap.mmap(fd, 4096))\n    os.close(fd)",
    ],
    ids=["open", "mapped"],
)
def test_unlinked_files_that_are_held_count(sandbox: Sandbox, keep: str):
    answer = sandbox.run(
        "import mmap, os, time\nkept = []\nfor n in range(60):\n    name = f'f{n}'\n"
        f"    open(name, 'wb').write(bytes(1 << 20))\n    {keep}\n    os.unlink(name)\n    time.sleep(0.02)\n"
        "time.sleep(5)\nprint('kept all')\n"
    )
    assert_disk_full(answer)


def test_files_in_closed_and_in_deep_folders_count(sandbox: Sandbox):
    for hide in (
        "os.mkdir('d')\nos.chdir('d')\nhide = lambda: os.chmod('.', 0o300)\n",
        "for _ in range(30):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\nhide = lambda: None\n",
    ):
        answer = sandbox.run(
            f"import os, time\n{hide}\nfor n in range(60):\n    open(f'f{{n}}', 'wb').write(bytes(1 << 20))\n"
            "    hide()\n    time.sleep(0.02)\ntime.sleep(5)\nprint('kept all')\n"
        )
        assert_disk_full(answer)


def test_one_file_of_many_names_and_descriptors_counts_once(sandbox: Sandbox):
    answer = sandbox.run(
        "import mmap, os, time\nopen('f', 'wb').write(bytes(3 << 20))\nfor n in range(5):\n    os.link('f', f'g{n}')\n"
        "kept = [open('f', 'r+b') for _ in range(9)]\nkept.append(mmap.mmap(kept[0].fileno(), 0))\ntime.sleep(0.5)\n"
        "print('fits')\n"
    )
    assert (answer["status"], answer["stdout"]) == ("ok", "fits\n"), answer["stderr"]


def test_open_files_cannot_be_hidden_from_the_watch(sandbox: Sandbox):
    if not one_process(sandbox):
        pytest.skip("the file system has its own limit here")
    answer = sandbox.run(
        "import array, ctypes, os, socket\nprint(ctypes.CDLL(None).prctl(4, 0, 0, 0, 0))\n"
        "a, b = socket.socketpair()\n"
        "a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))])\n"
    )
    assert answer["stdout"] == "-1\n"
    assert "PermissionError" in answer["stderr"]


def test_processes_that_execute_another_program_count_whole(sandbox: Sandbox):
    if one_process(sandbox):
        pytest.skip("programs are one process here")
    answer = sandbox.run(
        "import subprocess, sys, time\n"
        "code = 'import time; x = bytearray(35 << 20); time.sleep(30)'\n"
        "kept = [subprocess.Popen([sys.executable, '-S', '-c', code]) for _ in range(12)]\ntime.sleep(30)\n",
        timeout_s=20,
    )
    assert answer["status"] == "memory", answer
    assert "limit of 384 MiB" in answer["stderr"]


def test_memory_that_processes_share_counts_once(sandbox: Sandbox):
    if one_process(sandbox):
        pytest.skip("programs are one process here")
    answer = sandbox.run(
        "import os, time\nx = b'x' * (150 << 20)\nfor _ in range(6):\n    if os.fork() == 0:\n        time.sleep(30)\n"
        "time.sleep(1)\nprint('fits')\n"
    )
    assert (answer["status"], answer["stdout"]) == ("ok", "fits\n"), answer


def test_a_folder_is_counted_as_it_lies(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(MIB))
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "a", tmp_path / "b" / "c")
    (tmp_path / "out").symlink_to("/usr")
    assert MIB <= Disk(str(tmp_path), 8 * MIB, 4 * MIB).count([]) <= MIB + 5 * 4096
    gone = os.open(tmp_path / "gone", os.O_RDWR | os.O_CREAT)
    os.write(gone, bytes(MIB))
    os.unlink(tmp_path / "gone")
    try:
        assert 2 * MIB <= Disk(str(tmp_path), 8 * MIB, 4 * MIB).count([os.getpid()]) <= 2 * MIB + 6 * 4096
    finally:
        os.close(gone)


def test_looking_at_ten_thousand_files_takes_bounded_time(tmp_path: Path):
    for n in range(10_000):
        (tmp_path / f"f{n}").touch()
    begun = time.monotonic()
    assert Disk(str(tmp_path), 256 * MIB, MIB).count([]) == 10_000 * 4096
    assert Disk(str(tmp_path), MIB, MIB).count([]) > MIB
    assert time.monotonic() - begun < 5


def test_this_process_memory_is_measured():
    held = bytearray(64 * MIB)
    child = os.fork()
    if child == 0:
        time.sleep(60)
    try:
        once = measure(os.getpid(), 0, 0).memory_bytes
        whole = measure(os.getpid(), 0, 1 << 40).memory_bytes
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert len(held) <= whole
    assert 16 * MIB < once < whole  # half of what both processes show


def delegated_cgroup() -> Path | None:
    """A new cgroup (v2) with the memory controller, as systemd's Delegate=yes gives one."""
    top = Path("/sys/fs/cgroup")
    try:
        if "memory" not in (top / "cgroup.subtree_control").read_text().split():
            return None
        folder = top / f"podium-test-{os.getpid()}"
        folder.mkdir()
    except OSError:
        return None
    return folder


@pytest.mark.parametrize("walls", ["auto", "filters"])
def test_a_cgroup_of_its_own_bounds_a_runs_memory(start_sandbox: Start, walls: str):
    if (folder := delegated_cgroup()) is None:
        pytest.skip("no cgroup of version 2 that can be divided")
    try:
        settings = {"SANDBOX_WALLS": walls, "SANDBOX_WATCH_S": "60", "SANDBOX_PRELOAD": "math", "SANDBOX_CPU_S": "60"}
        settings["SANDBOX_MEMORY_BYTES"] = str(64 * MIB)
        settings["SANDBOX_UNSAFE"] = "1"  # such kernels are rare enough: one without Landlock will do
        service = start_sandbox(settings, before=lambda: (folder / "cgroup.procs").write_text("0"))
        assert service.health()["memory"] == "cgroup"
        assert service.run("print(1)")["stdout"] == "1\n"
        # Shared mappings are not RLIMIT_DATA's matter, and the watch sleeps.
        answer = service.run(
            "import mmap\nkept = [mmap.mmap(-1, 19 << 20) for _ in range(6)]\n"
            "for m in kept:\n    m.write(bytes(19 << 20))\n"
        )
        assert answer["status"] == "memory", answer
        assert "more memory than its limit of 64 MiB" in answer["stderr"]
        assert not list(folder.glob("podium-run-*"))
        service.end()
        assert not list(folder.glob("podium-*"))
    finally:
        with contextlib.suppress(OSError):  # the service is still there where an assertion failed
            folder.rmdir()


def test_without_a_cgroup_of_its_own_the_watch_alone_counts(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_PRELOAD": "math"})
    ready = service.log(lambda line: line.get("message") == "sandbox ready")
    assert service.health()["memory"] == ready["memory"].partition(" ")[0]
    assert ready["memory"] == "cgroup" or ready["memory"].startswith("watch (")
