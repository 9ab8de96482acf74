"""Every path of the results, spelled once.

Where a name is a wildcard, such as ``{host}``, the path is the pattern of one of Snakemake's rules. An address is HOST,
or HOST/SITE for a site with a name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsae.config.layouts import LAYOUTS

SAE_FILES = LAYOUTS["sae_lens"]
HOST_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
RESULTS = Path("results")


class Paths:
    """Where everything of the suite ``name`` lies, below ``results``."""

    def __init__(self, name: str, results: Path = RESULTS) -> None:
        self.name, self.results, self.root = name, results, results / name

    # of the suite

    def text_folder(self, name: str | None) -> Path:
        """Documents: the suite's, or those of a text by name."""
        return self.root / "text" / (name or "")

    def preflight_file(self) -> Path:
        """Verdict of the preflight."""
        return self.root / "preflight.json"

    def table(self, name: str) -> Path:
        """A table or a figure over all pairs."""
        return self.root / "tables" / name

    def run_card_file(self) -> Path:
        """The conditions under which the tables were made."""
        return self.root / "run-card.json"

    def page(self) -> Path:
        """The report, for people; its figures and exports lie beside it."""
        return self.root / "report.html"

    # of a host's site

    def token_file(self, address: str, split: str) -> Path:
        """Token rows of a split."""
        return self.root / address / "tokens" / f"{split}.parquet"

    def activations(self, address: str, split: str) -> Path:
        """Folder of shards of a split."""
        return self.root / address / "activations" / split

    # of a host, or of a pair of a host and a teacher

    def receipt(self, *of: str) -> Path:
        """Of what was fetched from a hub for a host, or for a teacher of it; see :mod:`rsae.data.hub.receipts`."""
        return self.root.joinpath(*of, "source.json")

    def verified(self, host: str, teacher: str) -> Path:
        """What the teacher gate measured."""
        return self.root / host / teacher / "verified.json"

    def tuning(self, host: str, teacher: str, *arm: str) -> Path:
        """Trials of λ and learning rate: of an arm for itself, or of the teacher's own grid."""
        return self.root.joinpath(host, teacher, *arm, "tuning.json")

    def sae(self, host: str, teacher: str, arm: str, seed: int) -> Path:
        """Folder of an SAE."""
        return self.root / host / teacher / arm / f"seed-{seed}" / "sae"

    def sae_files(self, host: str, teacher: str, arm: str, seed: int) -> list[Path]:
        """The files in it."""
        return [self.sae(host, teacher, arm, seed) / f for f in SAE_FILES]

    def training(self, host: str, teacher: str, arm: str, seed: int) -> Path:
        """Report of a fine-tune."""
        return self.sae(host, teacher, arm, seed).with_name("training.json")

    def sums(self, host: str, teacher: str, judgement: str) -> Path:
        """Per-document sums of a pair."""
        return self.root / host / teacher / f"{judgement}.parquet"

    def features_file(self, host: str, teacher: str) -> Path:
        """What the report draws of a pair's features."""
        return self.root / host / teacher / "features.json"

    # beside the results

    def log(self, *where: str) -> Path:
        """What a job said."""
        return self.results.joinpath("logs", self.name, *where[:-1], f"{where[-1]}.log")

    def benchmark(self, *where: str) -> Path:
        """Time and memory of a job, by Snakemake."""
        return self.results.joinpath("benchmarks", self.name, *where[:-1], f"{where[-1]}.tsv")

    def unfinished(self, *where: str) -> Path:
        """Folder in which a job keeps what a kill must not take."""
        return self.results.joinpath("checkpoints", self.name, *where)


def fit_path(results: Path, fit: Mapping[str, Any]) -> Path:
    """Where the record of a gate's fit lies, for all suites: its design problem is its name."""
    p, q = fit["degree"]
    settings = {k: fit[k] for k in ("theta", "delta") if fit.get(k) is not None}
    words = (f"{k}-{v if isinstance(v, str) else format(v, 'g')}" for k, v in settings.items())
    return results / "gates" / "_".join([fit["target"], *words]) / f"{p}-{q}.json"
