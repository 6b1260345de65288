"""Each benchmark's own fields: read from its published form, and what is wrong with them named by file and line."""

import json
from pathlib import Path

import pytest
from podium_eval.benchmarks.choose import BUILT_IN, choose
from podium_eval.commands import data
from podium_eval.dataset.load import load_questions, scan
from podium_eval.dataset.selection import DatasetError
from podium_eval.settings.run import HubSettings

FRAMES, SIMPLEQA, CUSTOM = (BUILT_IN[name].fields for name in ("frames", "simpleqa", "custom"))
LINKS = "\t".join(["wikipedia_link_1", "wikipedia_link_11+"])


def problems(path: Path, text: str, fields: object) -> list[str]:
    path.write_text(text)
    return [str(one).removeprefix(str(path)) for one in scan(path, fields).problems]  # type: ignore[arg-type]


def test_frames_is_read_as_it_is_published(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    row = '7\t"Which ""river"" is\nlonger?"\tThe Nile\thttp://w/1\t\tNumerical reasoning | Tabular reasoning\t[\'w\']'
    path.write_text(f"\tPrompt\tAnswer\t{LINKS}\treasoning_types\twiki_links\n{row}\n")
    (question,) = load_questions(path, fields=FRAMES).questions
    assert (question.id, question.question, question.answer) == (
        "frames-7", 'Which "river" is\nlonger?', "The Nile",
    )  # fmt: skip
    assert question.kinds == ("Numerical reasoning", "Tabular reasoning")
    assert not {"wiki_links", "wikipedia_link_1"} & set(question.extra), "where the answer is found stays in the file"


def test_a_bad_row_of_frames_is_named(tmp_path: Path) -> None:
    head = "\tPrompt\tAnswer\treasoning_types\n"
    text = f'{head}0\t"two\nlines"\ta\tNumerical reasoning\n1\t\ta\t |\n2\tq\n0\tq\ta\tTemporal reasoning\n'
    assert problems(tmp_path / "f.tsv", text, FRAMES) == [
        ":4: 'Prompt' is empty",
        ":4: 'reasoning_types' must name the question's kinds as text, '|' between them",
        ":5: has 2 values, the first line names 4 columns",
        ":6: id 'frames-0' is already that of " + str(tmp_path / "f.tsv") + ":2",
    ]


def test_simpleqa_s_metadata_gives_topic_and_answer_type(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "metadata,problem,answer\n"
        "\"{'topic': 'Art', 'answer_type': 'Person', 'urls': ['http://w']}\",Who?,Ada\n"
        '"",Who?,"Bo, the second"\n'
    )
    first, second = load_questions(path, fields=SIMPLEQA).questions
    assert (first.category, first.answer_type, first.answer) == ("Art", "Person", "Ada")
    assert (second.category, second.answer) == (None, "Bo, the second")
    assert second.id == f"{first.id}-2", "an equal question keeps an id of its own"
    assert "urls" not in first.extra
    bad = "metadata,problem,answer\n__import__('os'),q,a\n7,q,a\n,q,\n"
    assert problems(path, bad, SIMPLEQA) == [
        ":2: 'metadata' must be a dict as text, such as {'topic': 'Art'}; it cannot be read",
        ":3: 'metadata' must be a dict as text, it is a number",
        ":4: 'answer' is empty",
    ]


def test_custom_takes_what_people_write(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [{"id": 3, "question": "2 + 2?", "answer": 4}, {"prompt": "Capital?", "target": "Oslo"}, {"problem": "?"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = scan(path, CUSTOM)
    assert [(q.id[:2], q.question, q.answer) for q in found.questions] == [
        ("3", "2 + 2?", "4"), ("q-", "Capital?", "Oslo"),
    ]  # fmt: skip
    assert [p.message for p in found.problems] == ["field 'answer' is missing"]
    again = tmp_path / "other.jsonl"
    again.write_text(json.dumps(rows[1]) + "\n")
    assert scan(again, CUSTOM).questions[0].id == found.questions[1].id, "an id does not depend on the place"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the first line must name the columns"),
        ("a,a\n", "the first line must name the columns"),
        ('question,answer\n"open,a\n', "is no table that can be read"),
        ("question,answer\n", "holds no question"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=words):
        scan(path, CUSTOM)
    path.write_bytes(b"question,answer\n\xff,a\n")
    with pytest.raises(DatasetError, match="is not UTF-8"):
        scan(path, CUSTOM)


def test_data_check_takes_the_benchmark_s_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "c.csv", tmp_path / "part.jsonl"
    path.write_text("question,answer\nq,a\nr,b\n")
    assert data.main(["check", str(path)], dataset=None, hub=HubSettings()) == 1
    assert f"{path}:2: field 'id' is missing" in capsys.readouterr().out
    given = {"dataset": str(path), "hub": HubSettings(), "benchmark": "custom"}
    assert data.main(["check"], **given) == 0  # type: ignore[arg-type]
    assert data.main(["subset", "-n", "1", "-o", str(out)], **given) == 0  # type: ignore[arg-type]
    assert json.loads(out.read_text()) == {"question": "q", "answer": "a"}


def test_hle_is_the_default_and_has_its_own_fields() -> None:
    assert choose("hle").grading(None).name == "hle"
    assert choose("hle").grading("toolorchestra").name == "toolorchestra"
    assert choose("hle").fields.read >= {"id", "question", "answer", "image", "raw_subject", "canary"}
