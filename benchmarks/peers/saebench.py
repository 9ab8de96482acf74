"""The same sparse probes by this harness and by SAEBench: ``python -m benchmarks.peers.saebench``.

SAEBench wants older numpy and datasets than ours, so it goes into an environment of its own. Its
evaluation runs as it is, on SAEs that it loads through :mod:`rsae.saelens` and on a text that lies where its loader
looks for ag_news: docstrings of four packages in place of four kinds of news. Writes docs/results/saebench.md.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from tabulate import tabulate

from benchmarks.peers import environment
from benchmarks.peers.environment import ROOT
from benchmarks.peers.sae_lens_evals import HOOK, HOST, contestants, token_rows
from rsae.data.activations.host import Host
from rsae.data.text.docstrings import documents
from rsae.data.text.tokenizer import load_tokenizer
from rsae.evaluate import probing
from rsae.evaluate.probe_scores import KS
from rsae.report.stats.metrics import PROBING
from rsae.report.tables import probing as probing_table
from rsae.sae.model import SAE
from rsae.stages.evaluation import probe_text
from rsae.stages.evaluation.probe import codes_of

PAGE, PEER = ROOT / "docs/results/saebench.md", ROOT / "benchmarks/peers/saebench_peer.py"
SAEBENCH, BESIDE = "sae-bench==0.6.0", ["pydantic"]  # which our package needs beside what SAEBench brings
PACKAGES = ("numpy", "pandas", "scipy", "sympy")  # classes 0 to 3
SHARES = {"test": 0.3, "finetune": 0.7}  # of modules: no module is on both sides
SEED, CTX = 42, 128


class Both(NamedTuple):
    """What one SAE's probes reach on the same examples, by k; and their parts on the same rows."""

    here: dict[int, float]  # balanced accuracy on all test examples, mean over classes
    there: dict[int, float]  # SAEBench's accuracy, on one balanced draw of them
    codes: float  # largest difference of an example's mean code, relative to the largest code
    same_features: float  # share of (class, k) for which both choose the same features
    same_answers: float  # share of examples that the two probes on SAEBench's features answer alike


def examples(train: int, test: int) -> dict[str, pd.DataFrame]:
    """``train`` and ``test`` paragraphs of each package, as ag_news has them: text, and label 0 to 3.

    Raises:
        ValueError: a package has too few.
    """
    found = {}
    by_split = documents(PACKAGES, SHARES, [*SHARES])
    for side, split, wanted in (("test", "test", test), ("train", "finetune", train)):
        rows = []
        for label, package in enumerate(PACKAGES):
            of = [d for d in by_split[split] if d.name.partition(".")[0] == package]
            texts = [p for d in of for p in d.text.split("\n\n") if len(p.split()) >= 12][:wanted]
            if len(texts) < wanted:
                raise ValueError(f"{package} has {len(texts)} paragraphs for {side}, fewer than {wanted}")
            rows += [(text, label) for text in texts]
        found[side] = pd.DataFrame(rows, columns=["text", "label"])
    return found


def compared(python: Path, folder: Path, train: int, test: int) -> dict[str, Both]:
    """Both evaluations of the SAEs of :mod:`benchmarks.peers.sae_lens_evals`, on so many examples of each class."""
    data, saes = examples(train, test), folder / "saes"
    where = folder / "fancyzhx/ag_news/data"
    where.mkdir(parents=True)
    for side, frame in data.items():
        frame.to_parquet(where / f"{side}-00000-of-00001.parquet")
    host = Host(HOST, HOOK)
    x = host.capture(token_rows())[:, 1:].reshape(-1, 128)
    names = {}
    for number, (name, (sae, _)) in enumerate(contestants(x).items()):
        sae.save(saes / str(number), {"hook_name": HOOK})
        names[str(number)] = name
    out = folder / "out"
    out.mkdir()
    asked = {"host": str(ROOT / HOST), "hook": HOOK, "ctx": CTX, "seed": SEED, "train": train, "test": test}
    (out / "asked.json").write_text(json.dumps(asked))
    given = [f"{number}={saes / number}" for number in names]
    # its own checks of shapes fail under the jaxtyping of today, which remembers sizes across nested calls
    env = {"JAXTYPING_DISABLE": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    env |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([python, "-P", PEER, out, *given], cwd=folder, check=True, env=os.environ | env, stdout=sys.stderr)
    tokenizer = load_tokenizer(HOST)
    sides = {
        name: probe_text.side(write(folder / f"{name}.jsonl", frame), host, tokenizer, "package", CTX, True, len(frame))
        for name, frame in data.items()
    }
    learnt, judged = sides["train"], sides["test"]
    found = {}
    for number, name in names.items():
        there = json.loads((out / f"{number}.json").read_text())["mean"]
        sae = SAE.load(saes / number)
        # hard codes, which are the only ones where the gate has exact zeros
        z = {
            n: probing.pooled(lambda x, sae=sae: codes_of(sae, x)[-1:], s.block, s.examples)[0]
            for n, s in sides.items()
        }
        scores = [*probing.scores(z["train"], z["test"], learnt.examples, judged.examples, KS, judged.n_doc, SEED)]
        columns, every = probing_table.columns(scores), np.ones((1, judged.n_doc))
        found[name] = Both(
            {k: float(PROBING[f"probe_k{k}"].value(columns, every)[0]) for k in KS},
            {k: there[f"sae_top_{k}_test_accuracy"] for k in KS},
            *agreement(dict(np.load(out / f"{number}.npz")), z, data),
        )
    return found


def write(path: Path, frame: pd.DataFrame) -> Path:
    """The same examples as documents of ours."""
    lines = [{"name": str(i), "text": text, "label": str(label)} for i, (text, label) in enumerate(frame.to_numpy())]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def agreement(
    there: Mapping[str, np.ndarray], codes: Mapping[str, np.ndarray], data: Mapping[str, pd.DataFrame]
) -> tuple[float, float, float]:
    """Codes, chosen features and answers of the two sides on all rows, each class against the others."""
    labels, z = {}, {}
    for name, frame in data.items():
        # the order in which SAEBench draws the examples of a class
        drawn = [of.sample(n=len(of), random_state=SEED) for _, of in frame.groupby("label")]
        order = pd.concat(drawn).index.to_numpy()
        labels[name], z[name] = frame.label.to_numpy()[order], codes[name][order]
    gap = max(float(np.abs(z[name] - there[f"z_{name}"]).max() / np.abs(z[name]).max()) for name in z)
    features, answers = [], []
    for number in range(len(PACKAGES)):
        own, own_test = labels["train"] == number, labels["test"] == number
        for k in KS:
            theirs = there[f"features-{number}-{k}"]
            features.append(set(probing.ranked(z["train"], own)[:k]) == set(theirs))
            probe = LogisticRegression(solver=probing.SOLVER).fit(z["train"][:, theirs].astype(float), own)
            right = probe.predict(z["test"][:, theirs]) == own_test
            answers.append(np.mean(right == there[f"right-{number}-{k}"]))
    return gap, float(np.mean(features)), float(np.mean(answers))


INTRODUCTION = """\
# The same probes, by SAEBench

One run of `python -m benchmarks.peers.saebench`: sparse probes on the SAEs of [peers.md](peers.md), by this harness
(`python -m rsae probe-text`) and by {saebench} in an environment of its own, its code as it is (its checks of shapes
are off, for today's jaxtyping refuses them; torchvision, which no probe needs, is taken out). Upgraded SAEs reach it
through `rsae.saelens`, on hard codes. Text: paragraphs of the docstrings of {packages}, {train} of each to
train on and {test} to judge, of different modules, in place of ag_news's kinds of news. Examples are at most {ctx}
tokens with a BOS before them, which SAEBench has from transformer_lens, whose tokenizers put one everywhere.

"""
WHY = """
**What must agree and does.** The mean codes of all examples (largest difference over the largest code), the features
chosen for each class and k on all rows, and the answers of a probe on the same features, for which each side uses a
solver of its own (here newton-cholesky, there lbfgs, which stops earlier). Codes of hard thresholds differ where a
feature lies within rounding of one, on one of the tokens of a mean. `tests/evaluate/test_against_saebench.py` holds
both sides to it.

**What differs by design.** The accuracies: SAEBench trains on one balanced draw of the other classes and judges on one
balanced draw of the test examples; here three draws are trained on, and all test examples judged, as the mean of the
two classes' accuracies. Both estimate the same quantity. Half of what SAEBench judges is a draw of {test} from the
other classes, so one accuracy has a standard error of up to {se:.3f} from that draw, a mean over four classes half.
"""


def page(found: Mapping[str, Both], train: int, test: int) -> str:
    """Markdown."""
    about = {"saebench": SAEBENCH.replace("==", " "), "packages": ", ".join(PACKAGES), "ctx": CTX}
    header = ["SAE", "k", "here", "SAEBench", "difference"]
    rows = [
        [name, k, f"{b.here[k]:.3f}", f"{b.there[k]:.3f}", f"{b.here[k] - b.there[k]:+.3f}"]
        for name, b in found.items()
        for k in KS
    ]
    parts_header = ["SAE", "codes differ by", "same features", "same answers"]
    parts = [[name, f"{b.codes:.1e}", f"{b.same_features:.0%}", f"{b.same_answers:.2%}"] for name, b in found.items()]
    tables = [
        tabulate(r, h, tablefmt="github", disable_numparse=True) for r, h in ((rows, header), (parts, parts_header))
    ]
    return (
        INTRODUCTION.format(**about, train=train, test=test)
        + "\n\n".join(tables)
        + "\n"
        + WHY.format(test=test, se=0.5 * 0.5 / test**0.5)
    )


def main(train: int = 1000, test: int = 250) -> None:
    """One run, one page."""
    python = environment.made(environment.place("saebench"), SAEBENCH, BESIDE)
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(compared(python, Path(folder), train, test), train, test))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
