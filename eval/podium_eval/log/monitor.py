"""monitor.out: a line a minute for a run that nobody watches."""

from pathlib import Path

from podium_contracts.text.surrogates import written_out

from podium_eval.clock import Clock, iso
from podium_eval.files import append_line
from podium_eval.log.meter import Meter
from podium_eval.log.progress import clock_text
from podium_eval.log.writer import LogWriter


def monitor_line(meter: Meter, wall: float) -> str:
    """done, in flight, errors by type, tokens/s over the last minute, cost so far, eta."""
    errors = ",".join(f"{name}:{n}" for name, n in meter.errors.most_common()) or "none"
    prompt, completion = meter.tokens_per_s()
    unpriced = f"+{meter.n_unpriced}_unpriced_calls" if meter.n_unpriced else ""
    cost = (
        f"{meter.spent_usd:.4f}{unpriced}"
        if meter.spent_usd or not meter.n_unpriced
        else f"unknown({meter.n_unpriced}_calls)"
    )
    down = "".join(f" down={service}({state})" for service, state in sorted(meter.breakers.items()))
    failed = ",".join(f"{why}:{n}" for why, n in meter.web_failures.most_common())
    web = f" web_failed={failed}" if failed else ""
    return (
        f"{iso(wall)} done={meter.before + meter.finished}/{meter.before + meter.total} "
        f"in_flight={len(meter.in_flight)} "
        f"errors={errors} tokens_per_s={prompt:.0f}in/{completion:.0f}out cost_usd={cost} "
        f"elapsed={clock_text(meter.elapsed_s)} eta={clock_text(meter.eta_s)}{down}{web}"
    )


class Monitor:
    """Appends monitor_line every interval, and once more when cancelled."""

    def __init__(self, path: Path, meter: Meter, writer: LogWriter, clock: Clock, interval_s: float) -> None:
        self._path = path
        self._meter = meter
        self._writer = writer
        self._clock = clock
        self._interval_s = interval_s

    async def run(self) -> None:
        """Write until cancelled; the last line is written then."""
        try:
            while True:
                self.write()
                await self._clock.sleep(self._interval_s)
        finally:
            self.write()

    def write(self) -> None:
        """Queue one line."""
        data = written_out(monitor_line(self._meter, self._clock.wall())).encode() + b"\n"
        self._writer.put_job(lambda: append_line(self._path, data))
