"""`podium-eval ctl`: pause, resume, other limits, one task cancelled or put back, of a run that is on."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from podium_eval.control.acts import Refused, Request, Status
from podium_eval.control.client import ask
from podium_eval.log.progress import clock_text, printable

_TIMEOUT_S = 10.0


def main(args: Sequence[str], runs_dir: Path) -> int:
    """The exit status: 0 done, 1 refused or nobody there, 2 wrong arguments."""
    given = _parser().parse_args(args)
    folder = next((path for path in (runs_dir / given.run, Path(given.run)) if path.is_dir()), None)
    if folder is None:
        print(f"podium-eval ctl: there is no run {given.run} in {runs_dir}", file=sys.stderr)
        return 1
    request = Request(
        given.act, getattr(given, "n", None), getattr(given, "provider", None), getattr(given, "task", None)
    )
    try:
        reply = ask(folder, request, given.timeout)
    except Refused as error:
        print(f"podium-eval ctl: {error}", file=sys.stderr)
        return 1
    print(reply.done if reply.status is None else "\n".join(status_lines(reply.status)))
    return 0


def status_lines(status: Status) -> list[str]:
    """For a terminal: one line on the run, one for each provider, service that is down and task in flight."""
    state = f"stopping ({status.stopping})" if status.stopping else "paused" if status.paused else "on"
    lines = [
        f"run {status.run_id} is {state}: {status.n_finished} of {status.n_tasks} finished, "
        f"{len(status.in_flight)} in flight, {status.concurrency} at once"
    ]
    for provider, (limit, most, in_flight, waiting) in sorted(status.limits.items()):
        lines.append(f"limit {provider}: {limit} of at most {most}, {in_flight} in flight, {waiting} waiting")
    lines += [f"down: {service} ({state})" for service, state in sorted(status.breakers.items())]
    lines += [
        f"{clock_text(task.age_s)}  {printable(task.task)} epoch {task.epoch}, turn {task.step}, {task.doing}"
        for task in status.in_flight
    ]
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="podium-eval ctl", description="Steer a run that is on.", allow_abbrev=False)
    parser.add_argument("run", metavar="RUN", help="its id in RUNS_DIR, or its folder")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=_TIMEOUT_S, help="seconds to wait for the run's reply (10)"
    )
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("status", help="what is in flight, limits, services that are down")
    acts.add_parser("pause", help="take no further task; those in flight go on")
    acts.add_parser("resume", help="take tasks again")
    acts.add_parser("concurrency", help="tasks at once").add_argument("n", type=int, metavar="N")
    limit = acts.add_parser("limit", help="calls at once to a provider")
    limit.add_argument("provider", metavar="PROVIDER", help="as status lists it")
    limit.add_argument("n", type=int, metavar="N")
    for act, text in (
        ("cancel", "end a task in flight as skipped"),
        ("requeue", "put a task in flight, or one that ended in an error, behind all others"),
    ):
        acts.add_parser(act, help=text).add_argument("task", metavar="TASK", help="an id, or id#epoch")
    acts.add_parser("stop", help="let turns in flight end; the same run command goes on from there")
    return parser
