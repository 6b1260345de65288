"""The list of known copies: addresses by domain and path."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from podium_retrieval.errors import StartError

_FIELDS: Final = ("domain", "path", "kind", "source", "date")
_VERSION: Final = re.compile(r"v\d+\Z|\.pdf\Z")
_MOST_CHARS: Final = 2048
"""Of an address that is looked at; of one inside another, a quarter."""
_MOST_INNER: Final = 4


@dataclass(frozen=True, slots=True)
class Mirror:
    """A place of copies: its domain, `*` for any, and the first segments of the path, `*` for any one."""

    domain: str
    path: tuple[str, ...]


class Mirrors:
    """Whether an address is a known copy's, also one that is given to an archive, a proxy or a translator."""

    def __init__(self, mirrors: Iterable[Mirror]) -> None:
        self._by_domain: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for mirror in mirrors:
            self._by_domain[mirror.domain].append(mirror.path)

    @property
    def whole_domains(self) -> list[str]:
        """Domains of which no page is wanted, for the search engine's own filter."""
        return sorted(name for name, paths in self._by_domain.items() if name != "*" and () in paths)

    def holds(self, url: str) -> bool:
        """Whether the address, or one inside it, is on the list. Linear in at most 2,048 characters."""
        return any(self._listed(host, path) for host, path in _places(url[:_MOST_CHARS]))

    def _listed(self, host: str, path: list[str]) -> bool:
        labels = host.split(".")
        names = [".".join(labels[start:]) for start in range(max(0, len(labels) - 8), len(labels))]
        return any(_begins(path, wanted) for name in ("*", *names) for wanted in self._by_domain.get(name, ()))


def load_mirrors(path: Path | None) -> Mirrors:
    """The list of a file, None: the package's own.

    Raises:
        StartError: the file cannot be read, or a row lacks a field.
    """
    try:
        text = (
            (files("podium_retrieval.screen") / "mirrors.toml").read_text("utf-8")
            if path is None
            else path.read_text("utf-8")
        )
        rows: Any = tomllib.loads(text).get("mirror", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise StartError(f"RETRIEVAL_SCREEN_MIRRORS={path} cannot be read: {reason}") from error
    return Mirrors(_mirror(path, number, row) for number, row in enumerate(rows, 1))


def _mirror(path: Path | None, number: int, row: Any) -> Mirror:
    fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    missing = [
        name for name in _FIELDS if not isinstance(fields.get(name), str) or (not fields[name] and name != "path")
    ]
    if missing:
        raise StartError(f"RETRIEVAL_SCREEN_MIRRORS={path}: [[mirror]] {number} needs a text in {', '.join(missing)}")
    return Mirror(fields["domain"].lower().strip("."), tuple(_segments(fields["path"])))


def _places(url: str) -> Iterator[tuple[str, list[str]]]:
    """Host and path of an address and of those inside it."""
    text = unquote(url)
    yield from _place(text)
    for inner in re.split(r"https?:/{1,2}", text)[2 : 2 + _MOST_INNER]:
        yield from _place("//" + inner[: _MOST_CHARS // 4])
    rest = text.split("//", 1)[-1].split("/", 1)[-1]
    yield from _place("//" + rest)  # a proxy that leaves the scheme of the inner address out


def _place(address: str) -> Iterator[tuple[str, list[str]]]:
    try:
        parts = urlsplit(address if "//" in address[:10] else f"//{address}")
        host = (parts.hostname or "").strip(".").lower()
    except ValueError:
        return
    if host.endswith(".translate.goog"):
        host = host.removesuffix(".translate.goog").replace("--", "\0").replace("-", ".").replace("\0", "-")
    yield host, _segments(parts.path)


def _segments(path: str) -> list[str]:
    return [part.lower() for part in path.split("/") if part not in ("", ".")]


def _begins(path: list[str], wanted: tuple[str, ...]) -> bool:
    return len(path) >= len(wanted) and all(
        want in ("*", has) or _VERSION.sub("", has) == want for want, has in zip(wanted, path, strict=False)
    )
