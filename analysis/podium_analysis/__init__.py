"""Log to rows to statistics to figures to report. Reads run folders; never imports the eval."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podium_analysis.export.frames import load_run as load_run


def __getattr__(name: str) -> Any:
    """load_run, imported when it is asked for: commands start without it."""
    if name != "load_run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from podium_analysis.export.frames import load_run

    return load_run
