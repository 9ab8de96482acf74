"""From a teacher to upgraded SAEs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rsae.config.suite import Variant
from rsae.config.types import By
from rsae.plan.inputs import Inputs
from rsae.plan.job import Job, derive_seed, pick

FIXED = ("steps", "batch", "slow_lr", "decay_share", "objective", "precision", "pool_gib")  # what no trial varies


class Training(Inputs):
    """Jobs from a teacher's files to the last fine-tune."""

    def import_teacher(self, host: str, teacher: str) -> Job:
        """Load a teacher of any known layout and write it in the common form.

        It is taken to another sparsity where the configuration says so.
        """
        entry, source = self.teacher(host, teacher), self.teacher_place(host, teacher)
        calibration = self.read(host, teacher, "calibration")
        return Job(
            "training.import_teacher" if entry.l0 is None else "training.change_sparsity",
            [*source.inputs, calibration],
            {"teacher": source.path, "calibration": calibration, "out": self.sae(host, teacher, "teacher", 0)},
            self._loading(host, teacher) | ({} if entry.l0 is None else {"l0": entry.l0}),
        )

    def _loading(self, host: str, teacher: str) -> dict[str, Any]:
        entry = self.teacher(host, teacher)
        return {
            "hook": self.site(self.address(host, teacher)).hook,
            "kind": entry.kind,
            "bandwidth": entry.bandwidth,
            "layout": entry.layout,
            "stated": entry.stated.model_dump(exclude_none=True),
        }

    def verify_teacher(self, host: str, teacher: str) -> Job:
        """Hold a teacher against its published figures and against sae_lens's own run of its files.

        Nothing is upgraded before it.
        """
        # Its verdict is an ordinary input of what follows. As `ancient` it would not be a reason to run again, but
        # beside a job that runs again Snakemake 9.27 overlooks what waits for it so, whatever its own reasons.
        entry, address = self.teacher(host, teacher), self.address(host, teacher)
        model, source = self.host_place(host), self.teacher_place(host, teacher)
        tokens, calibration = self.token_file(address, "calibration"), self.activations(address, "calibration")
        return Job(
            "training.verify_teacher",
            [*source.inputs, *model.inputs, tokens, calibration],
            {
                "teacher": source.path,
                "host": model.path,
                "token_file": tokens,
                "calibration": calibration,
                "out": self.verified(host, teacher),
            },
            self._opening(address)
            | self._loading(host, teacher)
            | {"published": entry.published.model_dump(exclude_none=True)},
        )

    def init(self, host: str, teacher: str, arm: str) -> Job:
        """Build an untuned arm: copy the teacher, replace its gate by the fit, calibrate it on real pre-activations."""
        entry, spec = self.teacher(host, teacher), self.arm(host, teacher, arm)
        if spec.build is None:
            raise ValueError(f"arm {arm!r} is not built from the teacher; see `import-teacher` and `finetune`")
        fit = None if spec.design is None else self.fit_file(spec.design)
        calibration, threshold = (self.read(host, teacher, s) for s in ("calibration", "threshold"))
        return Job(
            "training.init",
            [
                *self.sae_files(host, teacher, "teacher", 0),
                self.verified(host, teacher),
                *([fit] if fit else []),
                calibration,
                threshold,
            ],
            {
                "teacher": self.sae(host, teacher, "teacher", 0),
                "fit": fit,
                "calibration": calibration,
                "threshold": threshold,
                "out": self.sae(host, teacher, arm, 0),
            },
            {"arm": spec.name, "kind": entry.kind, "tail": self.suite.gate.tail},
            (spec.module,),
        )

    def training_of(self, host: str, teacher: str, arm: str, seeds: Sequence[int] | None = None) -> Job:
        """One arm's part of :meth:`finetune`: its own paths and settings, with all seeds of the suite or some."""
        spec, entry, budget = self.arm(host, teacher, arm), self.teacher(host, teacher), self.suite.finetune
        seeds = self.suite.seeds if seeds is None else seeds
        if spec.start is None or not set(seeds) <= set(self.suite.seeds):
            raise ValueError(f"arm {arm!r} with seeds {list(seeds)} is not fine-tuned in suite {self.name!r}")
        activations, threshold = (self.read(host, teacher, s) for s in ("finetune", "threshold"))
        variant = entry.variants.get(arm) or Variant(arm=arm)

        def chosen(name: str, otherwise: float) -> float:
            own = getattr(variant, name)
            return otherwise if own is None else own

        tuning = self.tuning_file(host, teacher, arm)
        starts = dict.fromkeys(("teacher", spec.start))
        return Job(
            "training.finetune",
            [f for a in starts for f in self.sae_files(host, teacher, a, 0)]
            + [self.verified(host, teacher), activations, threshold, *([tuning] if tuning else [])],
            {
                "start": self.sae(host, teacher, spec.start, 0),
                "teacher": self.sae(host, teacher, "teacher", 0),
                "activations": activations,
                "threshold": threshold,
                "tuning": tuning,
                "outs": {s: self.sae(host, teacher, arm, s) for s in seeds},
                "checkpoints": self.unfinished(host, teacher, arm),
                "reports": {s: self.training(host, teacher, arm, s) for s in seeds},
            },
            {
                "arm": arm,
                "definition": spec.name,
                "kind": entry.kind,
                # the same for all arms of a pair: they see the same batches
                "order_seeds": {str(s): derive_seed(self.suite.seed, "finetune", host, teacher, s) for s in seeds},
                # the control's rate is good for arms that move the same weights, its λ is not: prices differ
                "takes": ["l1_coefficient", "lr"] if arm in entry.grids else ["lr"] if tuning else [],
                "steps": budget.steps,
                "batch": budget.batch,
                "lr": chosen("lr", entry.lr),
                "slow_lr": chosen("slow_lr", budget.slow_lr),
                "decay_share": budget.decay_share,
                "l1_coefficient": chosen("l1_coefficient", entry.l1_coefficient),
                "objective": spec.objective or budget.objective,
                "precision": budget.precision,
                "pool_gib": budget.pool_gib,
            },
            (spec.module,),
        )

    def finetune(
        self, host: str, teacher: str, arm: str | None = None, seed: int | None = None, by: By = "token"
    ) -> Job:
        """Fine-tune one arm or all of a pair, every seed of the suite; on several processes under torchrun.

        Raises:
            ValueError: an arm or a seed that is not fine-tuned, or a seed of no arm.
        """
        if arm is None and seed is not None:
            raise ValueError("--seed picks one of an arm's seeds; say which --arm")
        arms = self.tuned_arms(host, teacher) if arm is None else [arm]
        if not arms:
            raise ValueError(f"{host}/{teacher} has no arm that is fine-tuned in suite {self.name!r}")
        seeds = None if seed is None else [seed]
        jobs = {arm: self.training_of(host, teacher, arm, seeds) for arm in arms}
        return Job(
            "training.finetune",
            [*dict.fromkeys(path for job in jobs.values() for path in job.inputs)],
            {"arms": {arm: job.arguments for arm, job in jobs.items()}, "by": by},
            {"settings": {arm: job.settings for arm, job in jobs.items()}},
            (*dict.fromkeys(module for job in jobs.values() for module in job.modules),),
        )

    def trials(self) -> dict[str, Path]:
        """{HOST/TEACHER/ARM: trials} of every arm that is tuned for itself."""
        arms = [(h, t, arm) for h, t in self.runnable() for arm in self.teacher(h, t).grids]
        return {"/".join(arm): path for arm in arms if (path := self.tuning_file(*arm))}

    def tune(self, host: str, teacher: str, arm: str | None = None) -> Job:
        """Try a grid of λ and learning rate on tuning documents: an arm's own, or the teacher's, for control and rsae.

        The config is not changed by it.

        Raises:
            ValueError: there is no such grid.
        """
        entry, seed = self.teacher(host, teacher), self.suite.seeds[0]
        if arm is not None:
            grid, arms = pick("grid of the arm", arm, entry.grids), [arm]
        elif entry.tuning is not None:
            grid, arms = entry.tuning, ["teacher_ft", "rsae"]
        else:
            raise ValueError(f"{host}/{teacher} has no `tuning` grid in the suite's configuration")
        jobs = {a: self.training_of(host, teacher, a, [seed]) for a in arms}
        tuning, first = self.read(host, teacher, "tuning"), next(iter(jobs.values()))
        own = () if arm is None else (arm,)
        out = self.tuning(host, teacher, *own)
        inputs = dict.fromkeys(f for job in jobs.values() for f in job.inputs if f != out)
        return Job(
            "training.tune",
            [*inputs, tuning],
            {
                "starts": {a: job.arguments["start"] for a, job in jobs.items()},
                **{k: first.arguments[k] for k in ("teacher", "activations", "threshold")},
                "tuning": tuning,
                "checkpoints": self.unfinished(host, teacher, "-".join(("tune", *own))),
                "out": out,
            },
            {
                "definitions": {a: job.settings["definition"] for a, job in jobs.items()},
                "rule": "shared" if arm is None else "own",
                "grid": grid.model_dump(),
                "order_seed": first.settings["order_seeds"][str(seed)],
                **{k: first.settings[k] for k in ("kind", *FIXED)},
            },
            (*dict.fromkeys(module for job in jobs.values() for module in job.modules),),
        )
