"""Redacts secrets from everything this process writes."""

import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlsplit

from podium_contracts.text.surrogates import lossless_bytes
from pydantic import BaseModel, SecretStr

MASK: Final = "[redacted]"
_SHORTEST: Final = 6
"""A shorter value would blank out ordinary text; no real key is that short."""


class Redactor:
    """Replaces the values of secrets wherever they appear: raw, stripped, JSON-escaped, quoted or URL-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in {form for given in secrets for form in (given, given.strip())}:
            if len(secret) >= _SHORTEST:
                forms |= {
                    secret,
                    json.dumps(secret)[1:-1],
                    json.dumps(secret, ensure_ascii=False)[1:-1],
                    repr(secret)[1:-1],
                    repr(lossless_bytes(secret))[2:-1],
                    quote(secret, safe="", errors="surrogateescape"),
                    quote(secret, errors="surrogateescape"),
                    quote_plus(secret, errors="surrogateescape"),
                }
        # Longest first: a key may be the beginning of another.
        self._text = sorted(forms, key=len, reverse=True)
        self._bytes = [form.encode("utf-8", "surrogateescape") for form in self._text]
        self._mask = MASK.encode()

    def text(self, value: str) -> str:
        """`value` without secrets."""
        for form in self._text:
            if form in value:
                value = value.replace(form, MASK)
        return value

    def data(self, value: bytes) -> bytes:
        """`value` (UTF-8, JSON or plain) without secrets."""
        for form in self._bytes:
            if form in value:
                value = value.replace(form, self._mask)
        return value


def secrets_of(settings: BaseModel) -> list[str]:
    """Every SecretStr in `settings`, nested ones too, and the passwords of addresses."""
    secrets: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, SecretStr):
            secrets.append(value.get_secret_value())
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                walk(getattr(value, name))
        elif isinstance(value, dict):
            for item in value.values():  # pyright: ignore[reportUnknownVariableType]
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                walk(item)
        elif isinstance(value, str) and "://" in value and "@" in value:
            for part in value.replace(",", " ").split():
                # vllm/model@http://user:password@host: the address starts at its scheme.
                scheme_end = part.find("://")
                if scheme_end < 0:
                    continue
                start = max(part.rfind("@", 0, scheme_end), part.rfind("/", 0, scheme_end)) + 1
                try:
                    password = urlsplit(part[start:]).password
                except ValueError:
                    continue
                if password:
                    secrets.append(password)

    walk(settings)
    return [secret for secret in secrets if secret]
