"""A configuration that cannot work: everything that is wrong with it, at once."""

from collections.abc import Iterable


class ConfigError(ValueError):
    """problems: one line each, naming the setting or file and what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
