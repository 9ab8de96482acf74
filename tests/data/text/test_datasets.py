"""Text of one's own, in every form, kept apart between splits."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsae.config.sources import HubText
from rsae.data.text import datasets
from rsae.data.text.documents import Document
from tests import hub as local

TEXTS = [f"document number {i} is about the number {i}\nand has two lines" for i in range(40)]
SHARES = {"test": 0.3, "threshold": 0.2, "finetune": 0.5}


def written(folder, kind):
    folder.mkdir(parents=True, exist_ok=True)
    match kind:
        case "parquet":
            pq.write_table(pa.table({"content": TEXTS}), folder / "a.parquet")
            return folder / "a.parquet"
        case "jsonl":
            (folder / "a.jsonl").write_text("".join(json.dumps({"content": t, "other": 1}) + "\n" for t in TEXTS))
            return folder / "a.jsonl"
        case "paragraphs":
            (folder / "a.txt").write_text("\n\n".join(TEXTS))
            return folder / "a.txt"
        case _:
            for i, text in enumerate(TEXTS):
                (folder / f"{i:02d}.txt").write_text(text)
            return folder


@pytest.mark.parametrize(
    ("kind", "per"), [("parquet", "file"), ("jsonl", "file"), ("paragraphs", "paragraph"), ("folder", "file")]
)
def test_every_form_gives_the_same_documents(tmp_path, kind, per):
    found = list(datasets.from_files(written(tmp_path / "in", kind), "content", per, None))
    assert [d.text for d in found] == TEXTS
    assert len({d.name for d in found}) == 40
    assert [d.text for d in datasets.from_files(written(tmp_path / "in", kind), "content", per, 3)] == TEXTS[:3]


def test_documents_are_kept_apart_and_copies_fall_together():
    twice = [Document(f"{i}", t) for i, t in enumerate(TEXTS + TEXTS)]
    found = datasets.shared_out(twice, SHARES, list(SHARES))
    every = [d.text for members in found.values() for d in members]
    assert sorted(every) == sorted(TEXTS)  # each once, in one split
    assert all(found.values())
    # more documents move none of the present ones to another split
    more = datasets.shared_out([*twice, Document("new", "something new")], SHARES, list(SHARES))
    assert all(set(found[s]) <= set(more[s]) for s in SHARES)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.mkdir(), "does not exist or is empty"),
        (lambda p: written(p, "parquet"), "no column 'text'; it has content; set `column`"),
        (lambda p: (written(p, "parquet"), written(p, "jsonl")), r"holds \.jsonl, \.parquet; it must be of one kind"),
        (lambda p: (p.mkdir(), (p / "a.pdf").write_text("x")), "holds .pdf"),
        (
            lambda p: (p.mkdir(), (p / "a.jsonl").write_text('{"text": 5}\n')),
            "a.jsonl, line 1, column .text., is no text but int",
        ),
    ],
)
def test_unusable_text_is_named(tmp_path, make, says):
    make(tmp_path / "in")
    with pytest.raises(ValueError, match=says):
        list(datasets.from_files(tmp_path / "in", "text", "file", None))


SCRIPT = """
import json, sys
from rsae.data.hub import client
from rsae.data.text import datasets
client.PATIENCE = (0.1, 0.1)
try:
    found = datasets.from_hub("someone/text", None, sys.argv[1], "train", sys.argv[2], 25)
    print(json.dumps([d.text for d in found]))
except ValueError as error:
    print(json.dumps(str(error)))
"""


def streamed(home, hub, revision="main", column="content"):
    call = [sys.executable, "-c", SCRIPT, revision, column]
    env = local.environment(home, hub)
    done = subprocess.run(call, env=env, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PARTS = {"en": {"subset": "en-fr", "column": "translation.en"}, "it": {"subset": "fr-it", "column": "translation.it"}}
SPEECHES = f"""
import json
from rsae.data.text import datasets
found = datasets.from_hub("someone/speeches", None, "main", "train", "text", 11, parts={PARTS})
print(json.dumps([[d.name, d.text, d.label] for d in found]))
"""
CONFIGS = "---\nconfigs:\n" + "".join(
    f"- config_name: {pair}\n  data_files: {pair}/*.parquet\n" for pair in ("en-fr", "fr-it")
)


def test_classes_that_subsets_and_columns_say_come_in_equal_shares(tmp_path):
    """In the layout of europarl: one subset for two languages, one column with a field for each."""
    for pair in ("en-fr", "fr-it"):
        (tmp_path / "hub" / pair).mkdir(parents=True)
        rows = [{language: f"speech {i} in {language}" for language in pair.split("-")} for i in range(9)]
        pq.write_table(pa.table({"translation": rows}), tmp_path / "hub" / pair / "train-00000-of-00001.parquet")
    (tmp_path / "hub/README.md").write_text(f"{CONFIGS}---\n")
    with local.Hub().serve() as hub:
        hub.add("someone/speeches", tmp_path / "hub", "datasets")
        done, wrong = (
            subprocess.run(
                [sys.executable, "-c", code], env=local.environment(tmp_path / "home", hub), capture_output=True,
                text=True, cwd=Path(__file__).parents[3],
            )
            for code in (SPEECHES, SPEECHES.replace("'en-fr'", "'en-de'"))
        )  # fmt: skip
    assert "ValueError: dataset someone/speeches, en-de: there is no such subset; " in wrong.stderr
    assert "fr-it" in wrong.stderr
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [d[1:] for d in found] == [
        *([f"speech {i} in en", "en"] for i in range(5)), *([f"speech {i} in it", "it"] for i in range(6))
    ]  # fmt: skip
    assert len({name for name, *_ in found}) == 11


def test_parts_are_classes_and_nothing_else_says_them():
    entry = {"source": "datasets", "name": "a/b", "documents": 9, "parts": PARTS}
    assert HubText.model_validate(entry).labelled
    for key in ("label", "subset", "column"):
        with pytest.raises(ValueError, match="`parts` are two classes or more, and stand in place of `label`"):
            HubText.model_validate({**entry, key: "x"})
    with pytest.raises(ValueError, match="two classes or more"):
        HubText.model_validate({**entry, "parts": {"en": PARTS["en"]}})


def test_a_dataset_of_the_hub_is_streamed_at_its_revision(tmp_path):
    written(tmp_path / "old", "parquet")
    (tmp_path / "new").mkdir()
    pq.write_table(pa.table({"content": ["replaced"] * 30}), tmp_path / "new/a.parquet")
    with local.Hub().serve() as hub:
        hub.add("someone/text", tmp_path / "old", "datasets", local.OLD)
        hub.add("someone/text", tmp_path / "new", "datasets")
        assert streamed(tmp_path / "home", hub, local.OLD) == TEXTS[:25]
        assert streamed(tmp_path / "home", hub) == ["replaced"] * 25
        assert "no column 'text'" in streamed(tmp_path / "home", hub, column="text")
        hub.repos.clear()
        assert "someone/text" in streamed(tmp_path / "elsewhere", hub)
    assert "someone/text" in streamed(tmp_path / "nowhere", None)


def texts_of(path, column="text", per="paragraph"):
    return [d.text for d in datasets.from_files(path, column, per, None)]


@pytest.mark.parametrize(
    ("name", "content", "texts", "empty"),
    [
        ("a.jsonl", '{"text": "one"}\nnull\n{"text": null}\n""\n{"text": " "}\n[]\n{}\n\n"two"\n', "one two", 6),
        ("a.jsonl", '\ufeff{"text": "one"}\n{"text": "two"}', "one two", 0),  # a byte-order mark
        ("a.jsonl", '{"text": "o\u2028n\u0085e"}\r\n{"text": "two"}\r\n', "o\u2028n\u0085e two", 0),
        ("a.jsonl", '{"text": "o\\nne"}\n"two"\n', "o\nne two", 0),
        ("a.json", '[{"text": "one"},\n {"text": "two"}]', "one two", 0),
        ("a.json", '["one",\n\n "two", "", null]', "one two", 2),
        ("a.json", '\ufeff["one", "two"]', "one two", 0),
        ("a.json", '{"text": "one"}\n{"text": "two"}\n', "one two", 0),  # lines under the other name
        ("a.json", '  \n["one", "two"]\n', "one two", 0),
        ("a.json", '{\n "text": "one two"\n}\n', "one two", 0),
    ],
)  # fmt: skip
def test_every_kind_of_json_gives_what_a_reader_sees(tmp_path, capsys, name, content, texts, empty):
    (tmp_path / name).write_bytes(content.encode())
    found = texts_of(tmp_path / name)
    assert found == ([texts] if content.startswith("{\n") else texts.split(" "))
    assert (f"{empty} entries without text are passed over" in capsys.readouterr().out) == bool(empty)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"text": "one"}\n["two"]\n', r"a\.jsonl, line 2 is a list and no object with the key 'text'"),
        ("a.jsonl", '{"text": "one"}\n\n3\n', r"a\.jsonl, line 3 is a int"),
        ("a.jsonl", '{"text": "one"}\n{"text": \n', r"a\.jsonl, line 2: no JSON"),
        ("a.jsonl", '{"text": ["one"]}\n', r"a\.jsonl, line 1, column 'text', is no text but list"),
        ("a.json", '["one",\n3]', r"a\.json, entry 1 is a int"),
        ("a.json", '["one",\n"two"', r"a\.json, line 2: no JSON"),
        ("a.json", '{"text": "one"}\n["two"]\n', r"a\.json, line 2 is a list"),
        ("a.json", "7\n", r"a\.json, line 1 is a int"),
        ("a.jsonl", '{"text": "o\\ud800ne"}\n', r"a\.jsonl, line 1 holds a lone surrogate, half a character, at 1"),
    ],
)
def test_an_entry_that_is_no_text_is_named_with_its_line(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(ValueError, match=says):
        texts_of(tmp_path / name)


def test_hidden_files_of_a_folder_are_passed_over(tmp_path):
    for name, text in {"b.txt": "two", "a.txt": "one", ".DS_Store": "\0", ".git/c.txt": "no", "d/.e.txt": "no"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert texts_of(tmp_path) == ["one", "two"]


def test_a_null_row_of_a_parquet_file_is_passed_over(tmp_path, capsys):
    pq.write_table(pa.table({"text": ["one", None, "", "two"]}), tmp_path / "a.parquet")
    assert texts_of(tmp_path / "a.parquet") == ["one", "two"]
    assert "2 entries without text are passed over" in capsys.readouterr().out


def test_a_byte_order_mark_is_no_part_of_a_plain_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\n\ntwo".encode())
    assert texts_of(tmp_path / "a.txt") == ["one", "two"]
