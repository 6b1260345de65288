"""Our table of prices against genai-prices', whose data lie in its package."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_every_difference_from_genai_prices_is_decided(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is not installed: make setup")
    main = runpy.run_path(str(ROOT / ".ci/prices.py"))["main"]
    assert main() == 0, capsys.readouterr().out
