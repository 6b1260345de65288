"""Two log levels between DEBUG and INFO: PROFILE for timings, USER_JUDGE for judgements."""

import logging
from typing import Final

PROFILE: Final = 15
USER_JUDGE: Final = 16

LEVELS: Final[dict[str, int]] = {
    "DEBUG": logging.DEBUG,
    "PROFILE": PROFILE,
    "USER_JUDGE": USER_JUDGE,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}


def register_levels() -> None:
    """Make PROFILE and USER_JUDGE known to stdlib logging by name. Harmless when called again."""
    logging.addLevelName(PROFILE, "PROFILE")
    logging.addLevelName(USER_JUDGE, "USER_JUDGE")


def level_number(name: str) -> int:
    """The number of a level named in a setting.

    Raises:
        ValueError: the name is none of LEVELS; the message lists them.
    """
    number = LEVELS.get(name.strip().upper())
    if number is None:
        raise ValueError(f"LOG_LEVEL={name!r} is no level; use one of {', '.join(LEVELS)}")
    return number
