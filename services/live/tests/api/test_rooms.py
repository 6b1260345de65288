"""One look for all viewers, and no more viewers than allowed."""

import asyncio

import pytest
from podium_live.api.rooms import Full, Rooms
from podium_live.files import NotThere


async def message(stream: object) -> bytes:
    async for one in stream:  # type: ignore[attr-defined]
        if one.startswith(b"data: "):
            return one
    raise AssertionError("it ended")


async def test_all_viewers_share_one_look() -> None:
    looks: list[int] = []

    def look() -> bytes:
        looks.append(1)
        return str(len(looks)).encode()

    rooms = Rooms(0.05, 100)
    streams = [await rooms.watch("a", look) for _ in range(20)]
    first = await asyncio.gather(*(message(stream) for stream in streams))
    assert len(set(first)) == 1
    assert len(looks) < 10
    for stream in streams:
        await stream.aclose()
    seen = len(looks)
    await asyncio.sleep(0.2)
    assert len(looks) <= seen + 1, "nobody watches, and it still looks"


async def test_one_viewer_too_many_is_refused() -> None:
    rooms = Rooms(0.05, 1)
    stream = await rooms.watch("a", lambda: b"1")
    await message(stream)
    with pytest.raises(Full, match="LIVE_VIEWERS"):
        await rooms.watch("b", lambda: b"1")
    await stream.aclose()
    await message(await rooms.watch("b", lambda: b"1"))


async def test_a_run_that_goes_or_fails_ends_no_stream() -> None:
    answers = iter([NotThere("run"), ValueError("odd"), b"back"])

    def look() -> bytes:
        answer = next(answers, b"back")
        if isinstance(answer, Exception):
            raise answer
        return answer

    rooms = Rooms(0.05, 1)
    stream = await rooms.watch("a", look)
    assert [await message(stream) for _ in range(3)] == [
        b'data: {"gone":true}\n\n',
        b'data: {"failed":true}\n\n',
        b"data: back\n\n",
    ]
    rooms.close()
