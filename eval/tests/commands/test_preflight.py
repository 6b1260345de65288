import json
import resource
from pathlib import Path

import pytest
from harness.chain import GOLD, numbered, questions, server
from harness.process import Eval
from loopback.openai_server import Fault, LoopbackServer, Reply, Rule, Rules
from loopback.recording import models_for
from podium_eval.commands.check import disk, files
from podium_eval.commands.check_items import listed_models
from podium_eval.errors import ConfigError

EXECUTION = {"status": "ok", "exit_code": 0, "stdout": "1\n", "stderr": "", "duration_ms": 1.0, "truncated": False}


def whole() -> LoopbackServer:
    """A stack in good order."""
    made = server()
    made.execution = EXECUTION
    return made


def unfolded(said: str) -> str:
    """The table folds long cells: its words without borders and spaces."""
    return "".join(said.replace("│", " ").split())


async def test_a_stack_in_good_order_passes_every_item(tmp_path: Path) -> None:
    async with whole() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run(command="check") == 0, run.said
        assert not run.runs.exists(), "a check left a run behind"
    for item in (
        "open files",
        "disk",
        "orchestrator is served",
        "calls tools",
        "retrieval",
        "sandbox",
        "clock",
        "judge",
    ):
        assert item in run.said
    assert "failed" not in run.said


async def test_an_orchestrator_without_per_request_metrics_is_a_warning(tmp_path: Path) -> None:
    async with whole() as stub:
        stub.rules = Rules(metrics=False)
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run(command="check", env={"COLUMNS": "200"}) == 0, run.said
    assert "--enable-per-request-metrics" in "".join(run.said.replace("│", " ").split())


async def test_everything_that_is_wrong_is_in_the_table_at_once(tmp_path: Path) -> None:
    async with whole() as stub, server(rules=Rules(api_key="right")) as locked:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["a"]),
            orchestrator_model="another-model",
            retrieval_url="http://127.0.0.1:9",
            expert_answer_2=f"vllm/locked@{locked.address}/v1",
            min_free_mb=10**9,
            check_timeout_s=10,
        )
        stub.execution = {**EXECUTION, "status": "killed", "stdout": ""}
        assert await run.run(command="check", env={"COLUMNS": "200"}) == 2, run.said
    # The table folds long cells, so its words are read without borders and spaces.
    said = "".join(run.said.replace("│", " ").split())
    assert "ORCHESTRATOR_MODEL=another-model" in said
    assert "9/retrieve" in said
    assert "cannotbereached" in said
    assert "print(1)endedkilled" in said
    assert "MIN_FREE_MB" in said
    assert "EXPERT_API_KEY" in said
    assert said.count("failed") >= 6


async def test_a_run_checks_first_and_asks_nothing_when_that_fails(tmp_path: Path) -> None:
    async with whole() as stub:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["a"]),
            check=1,
            sandbox_url="http://127.0.0.1:9",
        )
        assert await run.run() == 2, run.said
        assert "--no-check" in run.said
        assert not run.runs.exists()
        assert await run.run(env={"SANDBOX_URL": stub.address}) == 0, run.said
        assert "[RUN_END] reason=finished done=1 correct=1" in run.said


async def test_missing_settings_are_named_all_at_once(tmp_path: Path) -> None:
    async with whole() as stub:
        run = Eval(tmp_path, stub.address, tmp_path / "none.jsonl")
        wrong = {
            "EXPERT_SEARCH_1": "together/some-model",
            "EXPERT_ANSWER_1": "openai/some-model",
            "JUDGE": "",
        }
        assert await run.run(command="check", env=wrong) == 2, run.said
    for name in ("TOGETHER_API_KEY", "OPENAI_API_KEY", "JUDGE", "none.jsonl"):
        assert name in run.said, run.said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONCURRENCY", "0"),
        ("MAX_ROUNDS", "many"),
        ("LOG_LEVEL", "LOUD"),
        ("RUN_ID", "../up"),
        ("PROTOCOL", "own"),
        ("RETRIEVAL_URL", "localhost:1401"),
        ("SANDBOX_URL", "http://"),
        ("TOOL_MODEL_ALIASES", "{"),
        ("TOOLS_FILE", "none.json"),
    ],
)
async def test_a_value_that_is_wrong_is_refused_by_its_name(tmp_path: Path, variable: str, value: str) -> None:
    async with whole() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run(env={variable: value}) == 2, run.said
    assert run.lines[0].startswith(f"podium-eval: {variable}")
    assert "Traceback" not in run.said


def test_open_files_are_raised_where_the_hard_limit_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        assert files(100).status == "ok"
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 300
        too_many = files(hard)
        assert too_many.status == "failed"
        assert "ulimit -n" in too_many.detail
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_missing_folder_is_judged_by_its_parent(tmp_path: Path) -> None:
    assert disk(tmp_path / "a" / "b", 1).status == "ok"
    assert disk(tmp_path, 10**12).status == "failed"


async def test_a_question_with_an_image_goes_to_experts_that_see(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    row = {"id": "seen", "question": "What is shown?", "answer": GOLD, "image": "data:image/png;base64,iVBORw0KGgo="}
    path.write_text(json.dumps(row) + "\n" + json.dumps({"id": "read", "question": "6*7?", "answer": GOLD}) + "\n")
    async with server() as stub:
        run = Eval(tmp_path, stub.address, path)
        assert await run.run() == 0, run.said
        assert {id_: one.status for id_, one in run.records().items()} == {"seen": "skipped", "read": "done"}
        refused = Eval(tmp_path / "b", stub.address, path, image_questions="refuse")
        (tmp_path / "b").mkdir()
        assert await refused.run() == 2
        assert "have an image" in refused.said
        texts = Eval(tmp_path / "c", stub.address, path, image_questions="text")
        (tmp_path / "c").mkdir()
        assert await texts.run() == 0
        assert {one.status for one in texts.records().values()} == {"done"}
    models = tmp_path / "models.toml"
    models.write_text(
        '[[model]]\nprovider = "vllm"\nmodel = "eyes"\nvision = true\nsource = "a test"\ndate = "2026-01-01"\n'
    )
    script_server = server(record=True)
    async with script_server as stub:
        sighted = {f"expert_{name}": f"vllm/eyes@{stub.address}/v1" for name in ("search_1", "reasoner_1", "answer_1")}
        (tmp_path / "d").mkdir()
        run = Eval(tmp_path / "d", stub.address, path, models_file=models, **sighted)
        assert await run.run() == 0, run.said
        assert {one.status for one in run.records().values()} == {"done"}
        with_image = [one for one in stub.requests if "image_url" in json.dumps(one.body)]
        assert {one.body["model"] for one in with_image} == {"eyes"}
        assert len(with_image) == 3


async def test_a_run_warns_of_images_that_models_refuse(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    row = {"id": "bmp", "question": "What is shown?", "answer": GOLD, "image": "data:image/bmp;base64,Qk0="}
    path.write_text(json.dumps(row) + "\n")
    async with server() as stub:
        run = Eval(tmp_path, stub.address, path, image_questions="text")
        assert await run.run() == 0, run.said
    assert "1 question(s) with an image that a model is likely to refuse, the first: " in run.said
    assert "image/bmp" in run.said


async def test_run_json_and_monitor_out_describe_the_run(tmp_path: Path) -> None:
    ids = numbered(1)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), monitor=1, monitor_interval_s=0.1)
        assert await run.run() == 0, run.said
    assert run.folder.monitor.read_text().splitlines()[-1].count("done=1/1") == 1
    manifest = json.loads(run.folder.manifest.read_text())
    assert manifest["dataset"]["n"] == 1
    assert manifest["segments"][0]["reason"] == "finished"
    assert set(manifest["prompts"]) >= {"orchestrator.md", "tools.json", "answer.md"}
    assert len(manifest["experts"]) == 12


async def test_the_check_sends_the_orchestrators_key(tmp_path: Path) -> None:
    async with whole() as stub:
        stub.rules = Rules(api_key="sk-orchestrator")
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["a"]),
            orchestrator_api_key="sk-orchestrator",
            expert_api_key="sk-orchestrator",
        )
        assert await run.run(command="check") == 0, run.said


async def test_the_check_sends_the_judge_s_own_form(tmp_path: Path) -> None:
    made, verdict = whole(), {"extracted_final_answer": "42", "reasoning": "s", "correct": "yes", "confidence": 90}
    made.record, made.script = True, [Rule([Reply(text=json.dumps(verdict))], contains=("forty-two",)), *made.script]
    async with made as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]), judge_max_tokens=777)
        assert await run.run(command="check", env={"COLUMNS": "200"}) == 0, run.said
        asked = [one.body for one in stub.requests if "forty-two" in json.dumps(one.body)]
    assert "itsverdictcanberead" in unfolded(run.said)
    (body,) = asked
    assert body["response_format"]["type"] == "json_schema"
    assert (body["temperature"], 777 in body.values()) == (0.0, True)


async def test_a_judge_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    made = whole()
    made.script = [Rule([Reply(text="Sure! Great question.")], contains=("forty-two",)), *made.script]
    async with made as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run(command="check", env={"COLUMNS": "200"}) == 0, run.said
    assert "warning" in run.said


async def test_a_web_page_is_named_and_not_printed(tmp_path: Path) -> None:
    page = "<!DOCTYPE html><html><head><title>502 Bad\n Gateway</title></head><body>" + "<b>x</b>" * 5000
    async with whole() as stub, server() as proxy:
        proxy.fault = Fault("status", 502, body=page)
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"])),
            expert_answer_1=f"vllm/behind@{proxy.address}/v1",
        )
        assert await run.run(command="check", env={"COLUMNS": "300"}) == 2, run.said
    assert "awebpage,'502BadGateway'" in unfolded(run.said)
    assert "<b>" not in run.said


async def test_a_proxy_that_is_gone_is_named(tmp_path: Path) -> None:
    async with whole() as stub:
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"])),
            model_proxy="http://127.0.0.1:9",
            expert_answer_1="openai/gpt-5.4-mini",
            openai_api_key="sk-x",
            openai_base_url="http://models.invalid/v1",
        )
        assert await run.run(command="check", env={"COLUMNS": "300"}) == 2, run.said
    assert "theproxyofMODEL_PROXY" in unfolded(run.said)


async def test_an_absent_server_is_named_with_its_cause(tmp_path: Path) -> None:
    async with whole() as stub:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["a"]),
            expert_answer_1="vllm/gone@http://127.0.0.1:9/v1",
            expert_answer_2="vllm/nowhere@http://no-such-host.invalid/v1",
        )
        assert await run.run(command="check", env={"COLUMNS": "300"}) == 2, run.said
    assert run.said.count("connection:") == 2
    assert "no answer within" not in run.said


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b'{"data": [{"id": "a"}, {"id": "b"}]}', ["a", "b"]),
        (b'[{"id": "a"}, 5]', ["a"]),
        (b'{"data": []}', []),
        (b'{"data": null}', None),
        (b"<!DOCTYPE html><html></html>", None),
        (b"5", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_models_are_read_from_any_list_and_from_nothing_else(raw: bytes, names: list[str] | None) -> None:
    assert listed_models(raw) == names


@pytest.mark.parametrize("address", ["http://[::1:1/v1", "http://", "http://h:port/v1", "http://h:99999/v1", "h:1/v1"])
@pytest.mark.parametrize("variable", ["ORCHESTRATOR_URL", "EXPERT_ANSWER_1"])
def test_what_is_no_address_is_named_by_its_variable(variable: str, address: str) -> None:
    value = address if variable == "ORCHESTRATOR_URL" else f"vllm/m@{address}"
    with pytest.raises(ConfigError, match=variable):
        models_for("http://h/v1", **{variable.lower(): value})


async def test_settings_alone_list_all_that_is_missing(tmp_path: Path) -> None:
    run = Eval(tmp_path, "http://127.0.0.1:9", tmp_path / "none.jsonl", judge="", index_dir=str(tmp_path / "index"))
    assert await run.run("--settings-only", command="check") == 2, run.said
    assert "3 settings are missing or wrong; nothing was started" in run.said
    for word in ("none.jsonl", "JUDGE is not set", "no eval.index and no eval.jsonl"):
        assert word in run.said


async def test_complete_settings_pass_without_any_service(tmp_path: Path) -> None:
    for name in ("eval.index", "eval.jsonl"):
        (tmp_path / name).write_text("")
    run = Eval(tmp_path, "http://127.0.0.1:9", questions(tmp_path / "q.jsonl", ["a"]), index_dir=str(tmp_path))
    assert await run.run("--settings-only", command="check") == 0, run.said
    assert "the settings are complete: 1 of 1 questions" in run.said


async def test_check_names_what_a_benchmark_wants(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_text("\tPrompt\tAnswer\treasoning_types\n0\tq\ta\tNumerical reasoning\n")
    async with whole() as stub:
        run = Eval(tmp_path, stub.address, path, benchmark="frames", protocol="", tools="answer")
        assert await run.run(command="check") == 0, run.said
        assert "benchmark: FRAMES (arXiv:2409.12941), protocol frames; the index should hold English" in run.said
        assert "! 1 questions are asked; published scores of FRAMES are of 824" in run.said
        assert "! FRAMES is meant for search, enhance_reasoning too, which this run does not offer" in run.said
        path.write_text("\tPrompt\tAnswer\treasoning_types\n0\tq\t\tNumerical reasoning\n")
        assert await run.run(command="check") == 2
    assert f"{path}:2: 'Answer' is empty" in run.said
