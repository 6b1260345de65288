"""Who is let in, and that nothing outside the runs folder is read."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from podium_live.settings import LiveSettings
from pydantic import ValidationError

Asked = Callable[..., httpx.AsyncClient]
TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.net"])
def test_other_hosts_are_bound_with_a_token_alone(host: str) -> None:
    with pytest.raises(ValidationError, match="set LIVE_TOKEN"):
        LiveSettings(live_host=host, _env_file=None)  # type: ignore[call-arg]
    assert LiveSettings(live_host=host, live_token=TOKEN, _env_file=None).live_host == host  # type: ignore[call-arg,arg-type]


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 16"):
        LiveSettings(live_token="short", _env_file=None)  # type: ignore[call-arg,arg-type]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:1480", "127.0.0.1.evil.example", "localhost.evil.example"]
)
async def test_a_name_that_is_not_ours_is_refused(asked: Asked, host: str) -> None:
    answer = await asked(host).get("/")
    assert answer.status_code == 421
    assert "LIVE_HOSTS" in answer.text
    assert (await asked(host, live_hosts=f"other, {host.split(':')[0]}").get("/")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:1480", "localhost:1480", "[::1]:1480", "LOCALHOST"])
async def test_this_machines_names_are_served(asked: Asked, host: str) -> None:
    assert (await asked(host).get("/")).status_code == 200


async def test_the_token_is_asked_once_and_kept_as_cookie(asked: Asked) -> None:
    client = asked(live_token=TOKEN)
    assert (await client.get("/")).status_code == 401
    assert (await client.get("/?token=wrong-token-of-length")).status_code == 401
    assert (await client.get("/stream/runs")).status_code == 401
    first = await client.get(f"/compare?a=1&token={TOKEN}&b=2")
    assert (first.status_code, first.headers["location"]) == (303, "/compare?a=1&b=2")
    cookie = first.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert (await client.get("/")).status_code == 200
    assert (await asked(live_token=TOKEN).get("/", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_another_sites_script_gets_nothing(asked: Asked, make_run: Callable[..., Path]) -> None:
    make_run("run", n=2)
    client = asked()
    for path in ("/runs/run/rows", "/runs/run/rows/0.js", "/stream/runs"):
        answer = await client.get(path, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
        assert answer.status_code == 403, path
    assert (await client.get("/runs/run/rows/0.js")).headers["cross-origin-resource-policy"] == "same-origin"


async def test_every_answer_forbids_foreign_and_inline_scripts(asked: Asked) -> None:
    for path in ("/", "/nowhere", "/assets/page.js"):
        headers = (await asked().get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


OUTSIDE = [
    "/runs/..%2f..%2fetc", "/runs/%2e%2e%2fother", "/runs/linked",
    "/runs/run%2f..%2flinked/rows", "/runs/run/rows/..%2f..%2fevents.jsonl", "/runs/run/rows/%00.js",
    "/runs/run/tasks/..%2f..%2f..%2fsecret/text?at=a", "/runs/run/tasks/leak/text?at=question",
    "/runs/run/tasks/%2e%2e/text?at=a", "/assets/..%2fsettings.py", "/assets/%2e%2e", "/runs/linkedlog/rows",
    "/runs/linked/report", "/runs/nulls%00/rows",
]  # fmt: skip


async def test_no_path_outside_the_runs_is_read(
    asked: Asked, make_run: Callable[..., Path], runs: Path, tmp_path: Path
) -> None:
    run = make_run("run", n=2)
    secret = tmp_path / "other"
    secret.mkdir()
    (secret / "events.jsonl").write_text('{"type":"run_start","n_tasks":1}\n')
    (tmp_path / "secret.json").write_text('{"question": "SECRET", "record_version": 1}')
    (runs / "linked").symlink_to(secret)
    (runs / "linkedlog").mkdir()
    (runs / "linkedlog" / "events.jsonl").symlink_to(secret / "events.jsonl")
    (run / "tasks" / "leak.json").symlink_to(tmp_path / "secret.json")
    client = asked()
    for path in OUTSIDE:
        answer = await client.get(path)
        assert answer.status_code in (404, 400), (path, answer.status_code)
        assert "SECRET" not in answer.text
    report = await client.get("/runs/run/report")
    assert (report.status_code, "link" in report.text) == (404, True)


async def test_a_fifo_is_no_log_and_blocks_nothing(asked: Asked, make_run: Callable[..., Path]) -> None:
    run = make_run("run", n=2)
    (run / "samples.jsonl").unlink(missing_ok=True)
    os.mkfifo(run / "samples.jsonl")
    assert (await asked().get("/runs/run/rows")).status_code == 200
