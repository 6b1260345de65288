"""Which word counts: an option, the environment, .env, the default; and what no setting takes."""

from pathlib import Path

import pytest
from podium_analysis.settings import AnalysisSettings, SettingError, read_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in AnalysisSettings.__struct_fields__:
        monkeypatch.delenv(name.upper(), raising=False)


def test_option_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings() == AnalysisSettings()
    (tmp_path / ".env").write_text(
        "ANALYSIS_BINS=3\nRUNS_DIR=/far\nANALYSIS_FORMATS=SVG, png,svg\nRUN_ID=1234\nOTHER=x\n"
    )
    monkeypatch.setenv("ANALYSIS_BINS", "4")
    monkeypatch.setenv("ANALYSIS_MEMORY_MB", "256")
    got = read_settings(analysis_memory_mb=1024, runs_dir=None)
    assert (got.analysis_bins, got.analysis_memory_mb, got.runs_dir) == (4, 1024, Path("/far"))
    assert (got.analysis_formats, got.run_id) == (("svg", "png"), "1234")


def test_what_is_empty_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("ANALYSIS_WORKERS=\nRUN_ID\n")
    monkeypatch.setenv("ANALYSIS_BINS", "")
    assert read_settings() == AnalysisSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANALYSIS_BINS", "0"),
        ("ANALYSIS_BINS", "ten"),
        ("ANALYSIS_FORMATS", "png,gif"),
        ("ANALYSIS_FORMATS", ","),
        ("ANALYSIS_MEMORY_MB", "1"),
        ("ANALYSIS_WORKERS", "0"),
        ("ANALYSIS_TRACE_EVENTS", "-1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=f"^{name}: .*got {value!r}"):
        read_settings()


def test_an_unknown_format_is_refused_with_the_known() -> None:
    with pytest.raises(SettingError, match=r"ANALYSIS_FORMATS: .*\(got 'png,gif'\); it takes png, svg, pdf"):
        read_settings(analysis_formats="png,gif")
    assert read_settings(analysis_formats="PDF").analysis_formats == ("pdf",)
