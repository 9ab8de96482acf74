"""From judgements to a suite's tables, its run card and its page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rsae.plan.evaluation import Evaluation
from rsae.plan.job import CONFIG, Job, derive_seed
from rsae.plan.layout import JUDGEMENTS
from rsae.runtime.files import digest
from rsae.runtime.fingerprint import lock_digest
from rsae.runtime.seals import DIGESTS

TABLES = ("cells.csv", "reconstruction.md", "downstream.md", "win_loss.md", "strict.md", "claims.md")
PARETO = (
    "pareto.csv", "matched.csv", "pareto.md",
    *(f"pareto_{m}.{kind}" for m in ("mse_sum", "fvu", "delta_ce") for kind in ("svg", "png")),
)  # fmt: skip
EXTRA_TABLES = {
    "probing": ("probing.csv", "probing.md"),
    "anatomy": ("anatomy.csv", "anatomy.md", "l0_by_eps.svg", "l0_by_eps.png"),
    "convergence": ("convergence.md",),
}


class Plan(Evaluation):
    """All jobs of one suite.

    Raises:
        ValueError: a host, teacher, arm or seed that the suite does not have.
    """

    def tables(self) -> list[Path]:
        """The suite's tables."""
        return [self.table(t) for t in TABLES]

    def printed(self) -> list[Path]:
        """Those of the tables that a person reads."""
        return [path for path in (*self.tables(), *self.extra_tables()) if path.suffix == ".md"]

    def extra_tables(self) -> list[Path]:
        """Tables and figures that only some suites have."""
        files = [f for extra in self.suite.extras for f in EXTRA_TABLES[extra]]
        files += [f"probing_{name}.{kind}" for name in self.suite.probed_texts for kind in ("csv", "md")]
        files += PARETO if self.grouped("front") else []
        return [self.table(f) for f in files]

    def cells_file(self) -> Path:
        """The long table."""
        return self.table("cells.csv")

    def expected_file(self) -> Path:
        """Reference numbers with their tolerances, committed."""
        return Path("expected/regression") / f"{self.name}.json"

    def archive(self) -> Path:
        """Folder of the rows of a finished run, committed."""
        return Path("expected/archive") / self.name

    def tabulate(self, preflight: Callable[[], object] = lambda: None) -> Job:
        """Judgements of all pairs to cells.csv and the tables."""
        pairs = self.runnable(preflight)
        sums = {(h, t): {j: self.sums(h, t, j) for j in (*JUDGEMENTS, *self.judged_too())} for h, t in pairs}
        saes = {
            (h, t, a, s): (self.sae(h, t, a, s), self.training(h, t, a, s) if self.arm(h, t, a).tuned else None)
            for h, t in pairs
            for a, s in self.cells(h, t)
        }
        reports = [report for _, report in saes.values() if report]
        weights = [f for h, t, a, s in saes for f in self.sae_files(h, t, a, s)]
        return self._over_pairs(
            "tables.tables",
            [f for files in sums.values() for f in files.values()] + reports + weights,
            {"sums": sums, "saes": saes, "out": self.table("")},
            {
                "suite": self.name,
                "seeds": {f"{h}/{t}": derive_seed(self.suite.seed, "bootstrap", h) for h, t in pairs},
                "not_run": self.not_run(),
            },
        )

    def tabulate_probing(self, name: str | None = None) -> Job:
        """Sparse probes of all pairs to probing.csv and probing.md; with a name, those on that labelled text."""
        job = self.tabulate()
        kept = {k: v for k, v in job.settings.items() if k in ("suite", "seeds")}
        probe = "probe" if name is None else f"probe_{name}"
        sums = {(h, t): {j: self.sums(h, t, j) for j in (*JUDGEMENTS, probe)} for h, t in self.runnable()}
        inputs = [f for files in sums.values() for f in files.values()]
        arguments = {"sums": sums, "out": self.table("")}
        return self._over_pairs("tables.tabulate_probing", inputs, arguments, kept | {"name": name})

    def tabulate_anatomy(self) -> Job:
        """Anatomy of all pairs to anatomy.csv, anatomy.md and a figure."""
        files = {(h, t): self.sums(h, t, "anatomy") for h, t in self.runnable()}
        arguments = {"files": files, "out": self.table("")}
        return self._over_pairs("tables.tabulate_anatomy", [*files.values()], arguments, {})

    def tabulate_convergence(self) -> Job:
        """Whether further training helps a suite's teachers, by the trials of their controls, to convergence.md."""
        tuned = [(h, t) for h, t in self.runnable() if "teacher_ft" in self.teacher(h, t).grids]
        trials = {f"{h}/{t}": self.tuning_file(h, t, "teacher_ft") for h, t in tuned}
        inputs = [path for path in trials.values() if path]
        return self._over_pairs("tables.tabulate_convergence", inputs, {"trials": trials, "out": self.table("")}, {})

    def grouped(self, by: Literal["front", "family"]) -> dict[str, list[str]]:
        """{HOST/GROUP: teachers}: one SAE at several sparsities, or trainings of one recipe."""
        found: dict[str, list[str]] = {}
        for h, t in self.pairs():
            group = getattr(self.teacher(h, t), by)
            if group is not None and f"{h}/{t}" not in self.not_run():
                found.setdefault(f"{h}/{group}", []).append(t)
        return found

    def tabulate_pareto(self) -> Job:
        """Fronts of error against l0 over a suite's sparsity settings, and arms compared at one l0."""
        fronts = self.grouped("front")
        pairs = [(name.split("/")[0], t) for name, members in fronts.items() for t in members]
        sums = {pair: self.judged(*pair) for pair in pairs}
        seeds = {f"{h}/{t}": derive_seed(self.suite.seed, "bootstrap", h) for h, t in pairs}
        inputs = [f for files in sums.values() for f in files.values()]
        arguments = {"sums": sums, "out": self.table("")}
        return self._over_pairs("tables.tabulate_pareto", inputs, arguments, {"fronts": fronts, "seeds": seeds})

    def reported_file(self) -> Path:
        """The table of it."""
        return self.table("reported.md")

    def compare_reported(self) -> Job:
        """A suite's cells beside the numbers that the source reports."""
        cells, source = self.cells_file(), CONFIG / "reported.yaml"
        return Job(
            "tables.compare_reported",
            [cells, source],
            {"cells": cells, "source": source, "out": self.reported_file()},
            {},
        )

    def texts(self) -> dict[str, Path]:
        """Folders of the texts that are read, by their place below the suite's."""
        names = dict.fromkeys(self.host(h).text for h, _ in self.runnable())
        return {f"text/{name}" if name else "text": self.text_folder(name) for name in names}

    def benchmarks(self) -> list[Path]:
        """Time and memory of every job of the suite that Snakemake measures."""
        found = ["tables", *self.texts()]
        for reading, sites in self.readings.items():
            places = (f"tokens/{reading}", f"harvest/{sites[0]}")
            found += [f"{place}/{split}" for place in places for split in self.splits(reading.partition("/")[0])]
        for h, t in self.pairs():
            stages = ("import_teacher", "verify_teacher", "evaluate_reconstruction", "evaluate_downstream")
            stages += (*self.judged_too(), *(["anatomy"] if "anatomy" in self.suite.extras else []))
            found += [f"{stage}/{h}/{t}" for stage in stages]
            found += [f"tune_arm/{h}/{t}-{a}" for a in self.teacher(h, t).grids]
            tuned = self.tuned_arms(h, t)
            found += [f"init/{h}/{t}-{a}" for a, _ in self.cells(h, t) if a not in ("teacher", *tuned)]
            together = self.suite.finetune.together
            found += [f"finetune/{h}/{t}"] * bool(tuned) if together else [f"finetune/{h}/{t}-{a}" for a in tuned]
        return [self.benchmark(name) for name in found]

    def run_card(self) -> Job:
        """Commit, digests, device, versions, time and memory per rule."""
        reports = [
            self.training(h, t, a, s)
            for h, t in self.runnable()
            for a, s in self.cells(h, t)
            if self.arm(h, t, a).tuned
        ]
        manifests = {name: folder / "manifest.json" for name, folder in self.texts().items()}
        tables = [*self.tables(), self.cells_file().with_name(DIGESTS)]
        return self._over_pairs(
            "tables.run_card",
            [*tables, *reports, *manifests.values()],
            {
                "tables": self.tables(),
                "benchmarks": self.benchmarks(),
                "reports": reports,
                "text_manifests": manifests,
                "out": self.run_card_file(),
            },
            {
                "suite": self.name,
                "config_digest": digest(self.suite.model_dump(mode="json"))[:16],
                "lock_digest": lock_digest(),
                "objectives": {
                    f"{h}/{t}": self.teacher(h, t).model_dump(mode="json", include={"l1_coefficient", "lr", "tuning"})
                    for h, t in self.pairs()
                },
            },
        )

    def report(self, preflight: Callable[[], object] = lambda: None) -> Job:
        """The suite's page: report.html, with its figures and tables."""
        features = {(h, t): self.features_file(h, t) for h, t in self.runnable(preflight)}
        tables = [*self.printed(), *([self.reported_file()] if self.suite.reported else [])]
        run_card = self.run_card_file()
        # studies of their own and figures that only some suites have: shown where somebody made them
        atlas = self._kept("gates/atlas/*.svg")
        planned = [path for path in self.extra_tables() if path.suffix == ".svg"]
        fronts = sorted({*planned, *self._kept(f"{self.name}/tables/*.svg")})
        cells = [self.cells_file(), self.cells_file().with_name(DIGESTS)]
        return self._over_pairs(
            "tables.report",
            [*tables, *cells, *features.values(), run_card, *atlas, *fronts],
            {
                "tables": sorted(tables, key=lambda path: _place(path.stem)),
                "cells": self.cells_file(),
                "features": features,
                "run_card": run_card,
                "atlas": atlas,
                "fronts": fronts,
                "out": self.root,
            },
            {"suite": self.name, "not_run": self.not_run()},
        )

    def _over_pairs(self, stage: str, inputs: list[Path], arguments: dict[str, Any], settings: dict[str, Any]) -> Job:
        """A job that asks which pairs are run, so the preflight's file is read too, where only inputs are seen."""
        seen_alone = self.from_hub and self.kept != self.results
        return Job(stage, inputs + [self.preflight_file()] * seen_alone, arguments, settings)

    def _kept(self, pattern: str) -> list[Path]:
        """Results that are there already."""
        return sorted(self.results / path.relative_to(self.kept) for path in self.kept.glob(pattern))

    def targets(self, host: str | None = None, preflight: Callable[[], object] = lambda: None) -> list[Path]:
        """What a suite or one host of it produces."""
        if host is None:
            reported = [self.reported_file()] if self.suite.reported else []
            return [*self.tables(), *reported, *self.extra_tables(), self.run_card_file()]
        self.host(host)
        return [self.sums(h, t, j) for h, t in self.runnable(preflight) if h == host for j in JUDGEMENTS]


def _place(table: str) -> tuple[int, str]:
    """Claims first, what was measured last, everything else between."""
    order = {"claims": 0, "strict": 1, "win_loss": 2, "reconstruction": 4, "downstream": 5}
    return order.get(table, 3), table
