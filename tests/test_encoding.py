"""Text is UTF-8 on every machine, whatever its locale says."""

import ast
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # Python goes by the locale, which is ASCII
E = "assets/embedded"


def left_to_the_locale(source):
    """Calls that read or write text and do not say in which encoding."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(k.arg in ("encoding", None) for k in node.keywords):
            continue
        name, said = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        last = name.rpartition(".")[2]
        if last == "open" and name not in ("os.open", "safe_open"):
            place = 1 if name in ("open", "io.open") else 0
            mode = said.get("mode", ast.unparse(node.args[place]) if len(node.args) > place else "'r'")
            if "b" not in mode:
                yield f"{node.lineno}: {name}"
        elif last in ("read_text", "write_text") or (name.startswith("subprocess.") and said.get("text") == "True"):
            yield f"{node.lineno}: {name}"


def test_every_file_of_text_is_opened_as_utf8():
    sources = sorted((ROOT / "rsae").rglob("*.py"))
    assert len(sources) > 150
    found = [f"{p.relative_to(ROOT)}:{c}" for p in sources for c in left_to_the_locale(p.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ("open(p)", 1), ("open(p, 'w')", 1), ("p.open()", 1), ("p.read_text()", 1), ("p.write_text(x)", 1),
        ("subprocess.run(c, text=True)", 1), ("open(p, mode='a')", 1), ("open(p, 'rb')", 0), ("p.open('wb')", 0),
        ("open(p, encoding='utf-8')", 0), ("p.read_bytes()", 0), ("subprocess.run(c)", 0), ("os.open(p, 0)", 0),
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(source, n):
    assert len([*left_to_the_locale(source)]) == n


def in_ascii(*command):
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=os.environ | ASCII, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_locale_of_these_tests_is_ascii():
    assert in_ascii("-c", "import locale; print(locale.getpreferredencoding(False))").strip() in (
        "ANSI_X3.4-1968", "US-ASCII", "ascii"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["README.md", "a.txt", "a.jsonl", "a.json"])
def test_umlauts_of_a_text_are_read_rightly(tmp_path, name):
    texts = ["Über die Größe „rationaler“ Gatter", "Zweitens: ‖x − x̂‖²"]
    match name.rpartition(".")[2]:
        case "jsonl":
            whole = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)
        case "json":
            whole = json.dumps(texts, ensure_ascii=False)
        case _:
            whole = "\n\n".join(texts)
    (tmp_path / name).write_bytes(whole.encode())
    code = "import json, sys; from rsae.api.from_text import documents; print(json.dumps(documents(sys.argv[1], 9)))"
    assert [text for _, text in json.loads(in_ascii("-c", code, str(tmp_path / name)).splitlines()[-1])] == texts


def test_an_upgrade_runs_and_its_card_is_utf8(tmp_path):
    g = random.Random(0)
    paragraphs = [" ".join("".join(g.choices("aeßüöänrst‖", k=5)) for _ in range(12)) for _ in range(40)]
    (tmp_path / "README.md").write_bytes("\n\n".join(paragraphs).encode())
    out = tmp_path / "out"
    told = in_ascii(
        *"-m rsae upgrade --max-tok 8000 --steps 0".split(), "--teacher", f"{E}/teachers/topk", "--host", f"{E}/host",
        "--text", str(tmp_path / "README.md"), "--out", str(out),
    )  # fmt: skip
    assert "No verdict: " in told
    assert "|z_j| · ‖W_dec,j‖" in (out / "README.md").read_bytes().decode()
