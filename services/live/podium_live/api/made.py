"""Reports and comparisons: those in the run's folder, or made by podium-analysis when they are asked for."""

import asyncio
import hashlib
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, Final

from podium_live.files import LOG, open_below, run_folder, without_links

FRESH_S: Final = 10.0
"""A report of a run that is on is not made again within so long."""
_ERROR_CHARS: Final = 2000


class NotMade(RuntimeError):
    """podium-analysis could not make it; the message is its own."""


class Made:
    """Pages made by podium-analysis in a temporary folder, one at a time."""

    def __init__(self, root: Path, timeout_s: float) -> None:
        self._root = root
        self._timeout_s = timeout_s
        self._scratch = Path(tempfile.mkdtemp(prefix="podium-live-"))
        self._one = asyncio.Lock()
        self._known: dict[str, tuple[tuple[int, int], float]] = {}

    def close(self) -> None:
        """Remove what was made."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def report(self, run_id: str) -> None:
        """Make sure that there is a report of the run as it is now.

        Raises:
            NotThere: there is no such run, or it holds links. NotMade: see there.
        """
        folder = run_folder(self._root, run_id)
        async with self._one:
            if self._kept(folder) or not self._stale(run_id, folder):
                return
            await asyncio.to_thread(without_links, folder)
            out = self._scratch / "report" / _name(run_id)
            state = _state(folder)
            await self._run("report", f"--run={folder}", "--no-trace", "-o", str(out))
            self._known[run_id] = (state, time.monotonic())

    async def comparison(self, a: str, b: str) -> str:
        """The name of the page that compares two runs, among this process' own.

        Raises:
            NotThere: see report. NotMade: see there.
        """
        folders = [run_folder(self._root, run_id) for run_id in (a, b)]
        name = _name(f"{a}\0{b}")
        async with self._one:
            for folder in folders:
                await asyncio.to_thread(without_links, folder)
            page = self._scratch / "compare" / name / "compare.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            await self._run("compare", *(str(folder) for folder in folders), "--anyway", "--html", str(page))
        return name

    def open_report(self, run_id: str, path: str) -> BinaryIO:
        """A file of the run's report.

        Raises:
            NotThere: there is none.
        """
        folder = run_folder(self._root, run_id)
        names = path.split("/")
        if self._kept(folder):
            return open_below(self._root, run_id, "analysis", *names)
        return open_below(self._scratch, "report", _name(run_id), *names)

    def open_comparison(self, name: str) -> BinaryIO:
        """A comparison's page.

        Raises:
            NotThere: there is none.
        """
        return open_below(self._scratch, "compare", name, "compare.html")

    def _kept(self, folder: Path) -> bool:
        """The run's own report is of all that its log holds."""
        try:
            page = (folder / "analysis" / "report.html").lstat()
            return page.st_mtime_ns >= (folder / LOG).lstat().st_mtime_ns
        except OSError:
            return False

    def _stale(self, run_id: str, folder: Path) -> bool:
        known = self._known.get(run_id)
        return known is None or (known[0] != _state(folder) and time.monotonic() - known[1] > FRESH_S)

    async def _run(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "podium_analysis", *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout_s):
                _, errors = await process.communicate()
        except TimeoutError:
            raise NotMade(f"not ready within LIVE_ANALYSIS_TIMEOUT_S={self._timeout_s:g}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise NotMade(errors.decode(errors="replace").strip()[-_ERROR_CHARS:] or f"status {process.returncode}")


def _state(folder: Path) -> tuple[int, int]:
    state = (folder / LOG).lstat()
    return state.st_mtime_ns, state.st_size


def _name(text: str) -> str:
    """A folder's name for any run id."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
