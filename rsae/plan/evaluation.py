"""From SAEs to what was measured of each pair."""

from rsae.config.sources import Docstrings
from rsae.plan.inputs import load_text
from rsae.plan.job import Job, derive_seed, pick
from rsae.plan.training import Training

PROBED = 2000  # paragraphs of each side of a probe at most, and as many single tokens
EXAMPLE = 128  # ids of a labelled document that are read, as SAEBench does; a pair's 4000 examples stay in memory


class Evaluation(Training):
    """Jobs of one pair each."""

    def evaluate_reconstruction(self, host: str, teacher: str) -> Job:
        """MSE, FVU, L0 and alive of all arms of a pair on the test documents."""
        cells = self.cells(host, teacher)
        test = self.read(host, teacher, "test")
        return Job(
            "evaluation.evaluate_reconstruction",
            [test, self.verified(host, teacher), *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                "test": test,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "reconstruction"),
                "checkpoints": self.unfinished(host, teacher, "evaluate-reconstruction"),
            },
            {},
        )

    def evaluate_downstream(self, host: str, teacher: str) -> Job:
        """Delta CE, loss recovered and KL of all arms of a pair on the test documents."""
        model, cells, address = self.host_place(host), self.cells(host, teacher), self.address(host, teacher)
        tokens, calibration = self.token_file(address, "test"), self.activations(address, "calibration")
        return Job(
            "evaluation.evaluate_downstream",
            [
                tokens,
                calibration,
                self.verified(host, teacher),
                *model.inputs,
                *(f for c in cells for f in self.sae_files(host, teacher, *c)),
            ],
            {
                "token_file": tokens,
                "host": model.path,
                "calibration": calibration,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "downstream"),
                "checkpoints": self.unfinished(host, teacher, "evaluate-downstream"),
            },
            self._opening(address),
        )

    def probe(self, host: str, teacher: str) -> Job:
        """Sparse probes on the codes of all arms of a pair: what the text says of itself, told by a few features."""
        entry, cells, model = self.host(host), self.cells(host, teacher), self.host_place(host)
        text = load_text(entry.text or self.suite.text)
        texts = [self.text_folder(entry.text) / f"{s}.jsonl" for s in ("finetune", "test")]
        activations = [self.read(host, teacher, s) for s in ("finetune", "test")]
        return Job(
            "evaluation.probe",
            [*texts, *activations, *model.inputs, *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                **dict(zip(("train_text", "test_text", "train", "test"), texts + activations, strict=True)),
                "host": model.path,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "probe"),
            },
            {
                "packages": text.packages if isinstance(text, Docstrings) else [],
                "most": PROBED,
                "seed": derive_seed(self.suite.seed, "probe", host),
            },
        )

    def probe_text(self, host: str, teacher: str, name: str) -> Job:
        """Sparse probes on the codes of all arms of a pair: the classes of a labelled text, told by a few features.

        Raises:
            ValueError: the suite does not list it, or it has no labels; said before anything is run.
        """
        pick("text", name, dict.fromkeys(self.suite.probed_texts))
        text = load_text(name)
        if isinstance(text, Docstrings) or not text.labelled:
            raise ValueError(f"text {name!r} is probed and has no labels; set `label` in config/text/{name}.yaml")
        cells, model, address = self.cells(host, teacher), self.host_place(host), self.address(host, teacher)
        texts = [self.text_folder(name) / f"{s}.jsonl" for s in ("finetune", "test")]
        return Job(
            "evaluation.probe_text",
            [*texts, *model.inputs, *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                **dict(zip(("train_text", "test_text"), texts, strict=True)),
                "host": model.path,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, f"probe_{name}"),
            },
            {
                **self._opening(address),
                "ctx": min(self.site(address).ctx, EXAMPLE),
                "bos": self.site(address).bos,
                "name": name,
                "most": PROBED,
                "seed": derive_seed(self.suite.seed, "probe", host),
            },
        )

    def anatomy(self, host: str, teacher: str) -> Job:
        """L0 against eps, feature density, decoder drift, refined against original codes, of all arms of a pair."""
        job = self.evaluate_reconstruction(host, teacher)
        arguments = {k: job.arguments[k] for k in ("test", "saes")} | {"out": self.sums(host, teacher, "anatomy")}
        return job._replace(stage="evaluation.anatomy", arguments=arguments)

    def examine(self, host: str, teacher: str) -> Job:
        """Gates, densities, stability and contexts of the features of a pair, for the report, with one seed."""
        model, address = self.host_place(host), self.address(host, teacher)
        tokens, test = self.token_file(address, "test"), self.read(host, teacher, "test")
        arms = [a for a, s in self.cells(host, teacher) if s in (0, self.suite.seeds[0])]
        seeds = {a: self.suite.seeds[0] if self.arm(host, teacher, a).tuned else 0 for a in dict.fromkeys(arms)}
        return Job(
            "evaluation.examine",
            [tokens, test, *model.inputs, *(f for c in seeds.items() for f in self.sae_files(host, teacher, *c))],
            {
                "token_file": tokens,
                "host": model.path,
                "test": test,
                "saes": {a: self.sae(host, teacher, a, s) for a, s in seeds.items()},
                "out": self.features_file(host, teacher),
            },
            {"viewed": [a for a in seeds if self.arm(host, teacher, a).tuned]},
        )

    def judged_too(self) -> list[str]:
        """Judgements of a pair that claims read where the suite has them."""
        return ["probe"] if "probing" in self.suite.extras else []
