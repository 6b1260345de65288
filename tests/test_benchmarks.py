"""Each built-in benchmark and one of a package: its own sample through a whole run, its official number recomputed."""

import hashlib
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from harness.chain import call, server
from harness.process import Eval
from loopback.openai_server import Reply, Rule
from podium_analysis.compare.comparison import compare_runs
from podium_analysis.compare.render import score_lines
from podium_analysis.load.run_data import load_run
from podium_analysis.pipeline import summary_lines
from podium_analysis.report.write import write_report
from podium_analysis.stats.compute import compute_stats
from podium_local.embedded import SAMPLES, package_file

DATA = {name: package_file("podium_eval", "data", *parts) for name, parts in SAMPLES.items()}


def script(decisions: dict[str, list[str]], ask: str) -> list[Rule]:
    """Every task is answered at once; of each question that begins so, the judge decides in this order."""
    judge = [
        Rule([Reply(text=json.dumps({"explanation": "e", "decision": one})) for one in given], contains=(ask, begins))
        for begins, given in decisions.items()
    ]
    return [
        Rule([call("answer", "answer-1")], contains=("Call one tool now",)),
        Rule([Reply(text="Explanation: e\nAnswer: a")], contains=("Answer the problem",)),
        *judge,
    ]


async def ran(
    folder: Path,
    name: str,
    script: list[Rule],
    *,
    dataset: Path | None = None,
    env: dict[str, str] | None = None,
    **settings: Any,
) -> Eval:
    given = {"benchmark": name, "protocol": "", "concurrency": 1, **settings}
    async with server(script=script) as stub:
        run = Eval(folder, stub.address, dataset or DATA[name], **given)
        assert await run.run(env=env) in (0, 1), run.said
    return run


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "a", tmp_path / "b"
    for folder in found:
        folder.mkdir()
    return found


SIMPLEQA = {
    "In which year was the metre": ["CORRECT", "NOT_ATTEMPTED"],
    "Who proved in 1948": ["CORRECT", "CORRECT"],
    "On which date was the Bastille": ["INCORRECT", "CORRECT"],
    "At how many hertz": ["NOT_ATTEMPTED", "NOT_ATTEMPTED"],
    "Which linguist explained": ["INCORRECT", "INCORRECT"],
    "Who observed in the 1950s": ["no word of these", "no word of these", "CORRECT"],
}


async def test_simpleqa_s_f_measure_is_the_published_one(folders: tuple[Path, Path]) -> None:
    run = await ran(folders[0], "simpleqa", script(SIMPLEQA, "Grade the answer"), epochs=2)
    other = await ran(folders[1], "simpleqa", script({"": ["CORRECT"]}, "Grade the answer"), epochs=2)
    manifest = json.loads((run.folder.path / "run.json").read_text())
    assert (manifest["benchmark"]["name"], manifest["protocol"]) == ("simpleqa", "simpleqa")
    assert {name for name in manifest["prompts"] if name.startswith("judge_")} == {
        "judge_simpleqa.md", "judge_worded_answer.md",
    }  # fmt: skip
    records = [json.loads(path.read_text()) for path in run.folder.tasks.glob("*.json")]
    grades = [record["judgements"][-1]["grade"] for record in records]
    assert len(grades) == 12
    # The publication: F is the harmonic mean of correct over all and correct over attempted.
    n, right, wrong = len(grades), grades.count("correct"), grades.count("incorrect")
    overall, given = right / n, right / (right + wrong)
    f = 2 * overall * given / (overall + given)
    with load_run(run.folder.path) as loaded:
        stats = compute_stats(loaded)
        made = write_report(loaded, stats, out_dir=folders[0] / "report")
    found = stats.benchmark.attempts
    assert found is not None
    assert (found.n, found.n_correct, found.n_incorrect, found.n_not_attempted) == (12, right, wrong, 3)
    assert found.n_ungraded == grades.count(None) == 1
    assert found.correct == pytest.approx(100 * overall, rel=1e-9)
    assert found.correct_given_attempted == pytest.approx(100 * given, rel=1e-9)
    assert found.f_measure == pytest.approx(100 * f, rel=1e-9)
    assert stats.benchmark.kinds is None
    line = f"SimpleQA: F {100 * f:.1f}"
    assert [one.startswith(line) for one in summary_lines(stats)].count(True) == 1
    assert line in made.path.read_text()
    pair = compare_runs([run.folder.path, other.folder.path]).pairs[0]
    assert pair.measure is not None
    assert (pair.measure.n, pair.measure.b) == (11, 100.0)
    attempted = [grade for grade in grades if grade is not None]
    assert pair.measure.a == pytest.approx(200 * right / (len(attempted) + right + wrong), rel=1e-9)
    assert any(one.startswith("F measure: A ") for one in score_lines(pair))


FRAMES = {
    "How many years before": ["TRUE"],
    "Take the number of ways": ["FALSE"],
    "Which French scholar": ["TRUE"],
    "Take the year": ["FALSE"],
    "Of the tunings": ["TRUE"],
    "How many more days": ["FALSE"],
}


async def test_frames_score_by_reasoning_type_is_recomputed(folders: tuple[Path, Path]) -> None:
    run = await ran(folders[0], "frames", script(FRAMES, "whose answer is known"))
    other = await ran(folders[1], "frames", script({"": ["TRUE"]}, "whose answer is known"))
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for line in DATA["frames"].read_text().splitlines()[1:]:
        values = line.split("\t")
        decision = next(given[0] for begins, given in FRAMES.items() if values[1].lstrip('"').startswith(begins))
        for kind in values[-2].split(" | "):
            right[kind].append(decision == "TRUE")
    with load_run(run.folder.path) as loaded:
        stats = compute_stats(loaded)
        made = write_report(loaded, stats, out_dir=folders[0] / "report")
    assert stats.scores is not None
    assert (stats.scores.protocol, stats.scores.accuracy) == ("frames", pytest.approx(50, rel=1e-9))
    assert stats.benchmark.kinds is not None
    assert stats.benchmark.attempts is None
    assert {one.kind: (one.n, one.n_right) for one in stats.benchmark.kinds} == {
        kind: (len(given), sum(given)) for kind, given in right.items()
    }
    for one in stats.benchmark.kinds:
        assert one.accuracy == pytest.approx(100 * sum(right[one.kind]) / len(right[one.kind]), rel=1e-9)
    page = made.path.read_text()
    assert "Accuracy by reasoning type" in page
    assert "Tabular reasoning" in page
    cuts = compare_runs([run.folder.path, other.folder.path]).pairs[0].cuts
    assert {kind: score.n for kind, score in cuts["reasoning type"]} == {kind: len(g) for kind, g in right.items()}
    ids = {json.loads(path.read_text())["task_id"] for path in run.folder.tasks.glob("*.json")}
    assert ids == {f"frames-{n}" for n in range(6)}


async def test_custom_questions_run_by_any_protocol(folders: tuple[Path, Path]) -> None:
    run = await ran(folders[0], "custom", script({"": ["TRUE"]}, "whose answer is known"), protocol="frames")
    by_words = Eval(folders[1], "http://127.0.0.1:9", DATA["custom"], benchmark="custom", protocol="nothing")
    assert await by_words.run() == 2
    assert "PROTOCOL=nothing: BENCHMARK=custom is graded by hle, toolorchestra, frames, simpleqa" in by_words.said
    with load_run(run.folder.path) as loaded:
        stats = compute_stats(loaded)
    assert (stats.benchmark.name, stats.benchmark.attempts, stats.benchmark.kinds) == ("custom", None, None)
    assert stats.scores is not None
    assert (stats.scores.protocol, stats.scores.n, stats.scores.accuracy) == ("frames", 4, 100)


MODULE = """
from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.dataset.fields import Fields
from podium_eval.grading.worded import WordedProtocol
from pathlib import Path

RIDDLES = Benchmark(
    name="riddles",
    title="Riddles",
    source="none",
    protocols=(WordedProtocol("riddles", {"YES": "correct", "NO": "incorrect", "PASS": "not_attempted"},
                              judge_prompt=str(Path(__file__).with_name("judge_riddles.md"))),),
    fields=Fields(id_needed=False, question=("riddle",), answer=("solution",), kinds=("sorts", ";")),
    tools=("answer", "clock"),
    measure="f_measure",
    kinds="sort",
)
"""
PROMPT = "A riddle: {question} Solution: {answer} Guess: {response} JSON with decision YES, NO or PASS."


def packaged(folder: Path) -> dict[str, str]:
    """A small real package with a benchmark; the variables with which a process sees it."""
    info = folder / "site/podium_riddles-0.3.dist-info"
    info.mkdir(parents=True)
    (folder / "site/podium_riddles.py").write_text(MODULE)
    (folder / "site/judge_riddles.md").write_text(PROMPT)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: podium-riddles\nVersion: 0.3\n")
    points = "riddles = podium_riddles:RIDDLES\nother = podium_riddles:RIDDLES\nbroken = podium_riddles:NOTHING\n"
    (info / "entry_points.txt").write_text(f"[podium.benchmarks]\n{points}")
    return {"PYTHONPATH": str(folder / "site")}


async def test_a_package_s_benchmark_runs_to_its_report(folders: tuple[Path, Path]) -> None:
    env = packaged(folders[1])
    rows = [
        {"riddle": "What has keys and opens no door?", "solution": "a piano", "sorts": "thing; sound"},
        {"riddle": "What runs and has no legs?", "solution": "water", "sorts": "thing"},
    ]
    dataset = folders[1] / "riddles.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    decisions = {"What has keys": ["YES"], "What runs": ["PASS"]}
    run = await ran(folders[0], "riddles", script(decisions, "A riddle:"), dataset=dataset, env=env)
    prompts = json.loads((run.folder.path / "run.json").read_text())["prompts"]
    assert prompts["judge_riddles.md"] == hashlib.sha256(PROMPT.encode()).hexdigest()
    with load_run(run.folder.path) as loaded:
        stats = compute_stats(loaded)
    assert stats.benchmark.attempts is not None
    assert stats.benchmark.attempts.f_measure == pytest.approx(100 * 2 / 3, rel=1e-9)
    assert stats.benchmark.kinds is not None
    assert {one.kind: (one.n, one.accuracy) for one in stats.benchmark.kinds} == {"thing": (2, 50), "sound": (1, 100)}
    assert math.isclose(stats.benchmark.attempts.correct or 0, 50, rel_tol=1e-9)
    assert await run.run(env={**env, "DATASET": str(DATA["custom"])}) == 2
    assert f"{DATA['custom']}:1: field 'riddle' is missing" in run.said
    for name, words in {
        "other": "its name must be the entry point's",
        "broken": "cannot be loaded: AttributeError",
        "nothing": "there is none; there are hle, frames, simpleqa, custom, broken, other, riddles",
    }.items():
        assert await run.run(env={**env, "BENCHMARK": name}) == 2
        assert words in run.said
    assert await run.run(env={**env, "BENCHMARK": "custom", "DATASET": str(DATA["custom"])}) == 2
    assert "another value of" in run.said
