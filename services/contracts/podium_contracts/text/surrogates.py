"""Lone surrogates: halves of a UTF-16 pair, which Python's str and JSON's escapes can hold and UTF-8 cannot.

Datasets and models' answers contain them. What is written, shown or sent has them written out as `\\ud800`; what is
only hashed or measured keeps them.
"""

from dataclasses import asdict, is_dataclass
from typing import Any, Final, cast

_PRINTABLE_BITS: Final = 10_000
"""Python refuses to write a number of more than some 4,300 digits in decimal."""


def written_out(text: str, encoding: str = "utf-8") -> str:
    """The text with each lone surrogate as six ASCII characters, `\\ud800`; so too what another encoding lacks."""
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


def same_length(text: str) -> str:
    """The text with each lone surrogate as one `?`, for a tokenizer whose offsets must hold in the original."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def lossless_bytes(text: str) -> bytes:
    """UTF-8 in which a lone surrogate is its own three bytes: different for texts that differ at all."""
    return text.encode("utf-8", "surrogatepass")


def lossless_text(data: bytes) -> str:
    """The text of which these are the lossless_bytes.

    Raises:
        UnicodeDecodeError: they are not UTF-8.
    """
    return data.decode("utf-8", "surrogatepass")


def encodable(value: Any) -> Any:
    """A dataclass or plain value as JSON can hold it: lone surrogates written out, and whole numbers beyond 64 bits as
    text, because many readers of JSON refuse them.
    """
    if isinstance(value, str):
        return written_out(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value) if value.bit_length() < _PRINTABLE_BITS else hex(value)
    if is_dataclass(value) and not isinstance(value, type):
        return encodable(asdict(value))
    if isinstance(value, dict):
        known = cast("dict[Any, Any]", value)
        return {encodable(key): encodable(item) for key, item in known.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in cast("list[Any]", value)]
    return value
