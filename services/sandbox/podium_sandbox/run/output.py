"""One stream's output, held in bounded memory: its beginning and its end."""


class HeadTail:
    """Keeps at most `limit` bytes of all that is fed: the first half and the last half of them."""

    def __init__(self, limit: int) -> None:
        self._head_limit = limit // 2
        self._tail_limit = limit - limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_limit:  # cut now and then, not at each feed
            del self._tail[: -self._tail_limit]

    @property
    def truncated(self) -> bool:
        return self.total > self._head_limit + self._tail_limit

    def text(self) -> str:
        """As UTF-8; bytes that are none become U+FFFD. What was cut is marked with its size."""
        tail = self._tail[-self._tail_limit :]
        if not self.truncated:
            return (self._head + tail).decode(errors="replace")
        cut = self.total - len(self._head) - len(tail)
        mark = f"\n[… {cut} bytes of output left out …]\n"
        return self._head.decode(errors="replace") + mark + tail.decode(errors="replace")
