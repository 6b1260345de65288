"""Calls to other servers: a synchronous one within limits, and errors without headers, keys and passwords."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx2
import requests
import urllib3

_JSON: Final = {"Content-Type": "application/json"}
_PIECE: Final = 1 << 18


class NoAnswer(Exception):
    """A server gave no whole answer. The message is one line without keys."""


@dataclass(frozen=True, slots=True)
class Received:
    """A whole answer of any status; the headers' names in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def new_session(key: str | None = None) -> requests.Session:
    """Connections that are kept, with `key` as bearer token. For one thread at a time."""
    session = requests.Session()
    if key:
        session.headers["Authorization"] = f"Bearer {key}"
        session.auth = lambda request: request  # else a ~/.netrc would replace the key
    return session


def post(
    session: requests.Session,
    url: str,
    body: bytes,
    timeout_s: float,
    *,
    key: str | None = None,
    most_bytes: int = 1 << 30,
) -> Received:
    """POST a JSON body; redirects are answers. No wait is longer than timeout_s, and no body is read beyond it.

    Raises:
        NoAnswer: no connection, no answer in time, or a longer one than most_bytes.
    """
    deadline = time.monotonic() + timeout_s
    parts: list[bytes] = []
    size = 0
    try:
        with session.post(
            url, data=body, headers=_JSON, timeout=timeout_s, stream=True, allow_redirects=False
        ) as response:
            while part := response.raw.read1(_PIECE, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > most_bytes:
                    raise NoAnswer(f"the answer is longer than {most_bytes} bytes")
                if time.monotonic() > deadline:
                    raise NoAnswer(f"no whole answer within {timeout_s:g} s")
            return Received(response.status_code, response.headers, b"".join(parts))
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Not from it: a log shows the words of what an exception came from, and they may be a header.
        raise NoAnswer(describe_failure(_root(error), key)) from None


def _root(error: BaseException) -> BaseException:
    """What requests and urllib3 wrap: the refusal or the time limit itself, in its own words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def describe_failure(error: BaseException, key: str | None) -> str:
    """An exception of a client in one line, without the key.

    The text of an exception about a header is left out: clients put the header itself there.
    """
    words = str(error)
    if not words or isinstance(error, httpx2.LocalProtocolError) or "header" in words.lower():
        return type(error).__name__
    return f"{type(error).__name__}: {without_key(words, key)}"


def without_key(text: str, key: str | None) -> str:
    """`text` with *** for the key: some servers repeat the key that they refuse."""
    return text.replace(key.strip(), "***") if key and key.strip() else text


def without_password(address: str) -> str:
    """An address without the user and password that may stand before its host."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an address that cannot be read"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
