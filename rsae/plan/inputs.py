"""What comes from elsewhere: texts, hosts and teachers of a hub, and what this machine can run of them."""

import json
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rsae.config.load import load
from rsae.config.sources import Docstrings, FileText, HubText, Text, TextFile
from rsae.config.types import EVALUATED
from rsae.data.hub.lockfile import Lock
from rsae.data.hub.sae_lens_registry import look_up
from rsae.data.text.documents import SPLITS
from rsae.plan.job import CONFIG, Job, pick
from rsae.plan.layout import Layout
from rsae.runtime.resources import BYTES, GIB, Shape

# In order of precedence up to the last split that the main job needs.
TEXT_SPLITS = SPLITS[: 1 + max(SPLITS.index(s) for s in EVALUATED)]
LIBRARIES_MB = 2000  # Python, torch and the embedded suite's data: at most 1.5 GB were measured (docs/cluster.md)


def load_text(text: Text) -> Docstrings | FileText | HubText:
    """An entry as it is, or the one in ``config/text`` that a name means."""
    if not isinstance(text, str):
        return text
    path = CONFIG / "text" / f"{text}.yaml"
    entry = load(path, TextFile, under="text").text
    if isinstance(entry, str):
        raise ValueError(f"{path}: expected keys and values, found the name {entry!r}")
    return entry


def text_job(text: Text, splits: Sequence[str], out: Path, lock: Lock) -> Job:
    """A text to documents, the given splits at once."""
    entry = load_text(text)
    settings = {**entry.model_dump(mode="json"), "splits": list(splits)}
    if isinstance(entry, HubText):
        settings["revision"] = lock.commit(entry.name) or entry.revision
    return Job("inputs.text", [entry.path] if isinstance(entry, FileText) else [], {"out": out}, settings)


def hub_text(text: Text, lock: Lock) -> dict[str, str] | None:
    """What is fetched for a text; None where it is made or lies here."""
    entry = load_text(text)
    if not isinstance(entry, HubText):
        return None
    return {"repo": entry.name, "revision": lock.commit(entry.name) or entry.revision}


class Inputs(Layout):
    """Jobs before the first token, and those that make activations of it."""

    def text(self, name: str | None = None) -> Job:
        """Text to documents, kept apart between splits, all needed ones at once."""
        return text_job(name or self.suite.text, TEXT_SPLITS, self.text_folder(name), self.lock)

    def fetch(self, host: str, teacher: str | None = None) -> Job:
        """Fetch a host, or one of its teachers, from its hub into the cache, verified."""
        if teacher is None:
            return self._fetch(self.host_place(host).path, self.host_source(host))
        return self._fetch(self.teacher_place(host, teacher).path, self.teacher_source(host, teacher))

    def _fetch(self, out: Path, source: dict[str, Any] | None) -> Job:
        if source is None:
            raise ValueError("a `path` of this machine is not fetched")
        return Job("inputs.fetch", [], {"out": out}, source)

    def tokens(self, address: str, split: str) -> Job:
        """Documents of a split to token rows of the host."""
        h, site = self.host(address.partition("/")[0]), self.site(address)
        host, folder = self.host_place(address.partition("/")[0]), self.text_folder(h.text)
        vocabulary = [p for p in host.inputs if p.suffix != ".safetensors" and p.name != "config.json"]
        return Job(
            "inputs.tokens",
            [folder / f"{split}.jsonl", folder / "manifest.json", *vocabulary],
            {"text": folder / f"{split}.jsonl", "host": host.path, "out": self.token_file(address, split)},
            {
                "ctx": site.ctx,
                "bos": site.bos,
                "max_tok": pick("split", split, self.suite.tokens(address.partition("/")[0])),
                "max_rows_per_document": h.max_rows_per_document.get(split),
            },
        )

    def harvest(self, address: str, split: str) -> Job:
        """Residual activations of a split to Parquet shards, of all sites that read the same rows."""
        h, host = self.host(address.partition("/")[0]), self.host_place(address.partition("/")[0])
        tokens, sites = self.token_file(address, split), self.harvested_with(address)
        return Job(
            "inputs.harvest",
            [tokens, *host.inputs],
            {
                "token_file": tokens,
                "host": host.path,
                "out": [self.activations(site, split) for site in sites],
                "checkpoints": self.unfinished(sites[0], "harvest", split),
            },
            {"sites": [self._opening(site) for site in sites], "dtype": h.dtype, "n_shards": h.n_shards},
        )

    def _opening(self, address: str) -> dict[str, Any]:
        return self.site(address).model_dump(include={"hook", "center_writing_weights"})

    def host_source(self, host: str) -> dict[str, Any] | None:
        """What is fetched for a host; None where it is a path of this machine."""
        h = self.host(host)
        if h.repo is None:
            return None
        return {"repo": h.repo, "folder": "", "layout": None, **self.lock.settings(h.repo, h.revision, "")}

    def teacher_source(self, host: str, teacher: str) -> dict[str, Any] | None:
        """What is fetched for a teacher; None where it is a path of this machine."""
        entry = self.teacher(host, teacher)
        if entry.path is not None:
            return None
        if entry.release is not None and entry.sae_id is not None:
            repo, folder, layout = look_up(entry.release, entry.sae_id)
        else:
            repo, folder, layout = str(entry.repo), entry.folder, entry.layout
        pinned = self.lock.settings(repo, entry.revision, folder)
        return {"repo": repo, "folder": folder, "layout": layout, **pinned}

    # what can be done: of a suite with checkpoints of a hub, the preflight says

    @cached_property
    def from_hub(self) -> bool:
        """Whether anything of the suite has to be fetched."""
        hosts = {h for h, _ in self.pairs()}
        texts = [load_text(self.suite.hosts[h].text or self.suite.text) for h in hosts]
        sources = [self.host_source(h) for h in hosts] + [self.teacher_source(h, t) for h, t in self.pairs()]
        return any(sources) or any(isinstance(text, HubText) for text in texts)

    def not_run(self) -> dict[str, str]:
        """{HOST/TEACHER: reason} of the pairs that the last preflight let nobody run."""
        verdict = self.kept / self.name / self.preflight_file().name
        if not self.from_hub or not verdict.is_file():
            return {}
        return json.loads(verdict.read_text(encoding="utf-8"))["not_run"]

    def runnable(self, preflight: Callable[[], object] = lambda: None) -> list[tuple[str, str]]:
        """Pairs that are run; ``preflight`` is called first, for Snakemake waits for it there."""
        if self.from_hub:
            preflight()
        return [(h, t) for h, t in self.pairs() if f"{h}/{t}" not in self.not_run()]

    def preflight(self) -> Job:
        """Tokens, disk, memory and time per pair; what is missing and what will not fit."""
        hosts = {
            h: {
                "source": self.host_source(h),
                "path": None if entry.path is None else str(entry.path),
                "size": entry.size and entry.size.model_dump(),
                "dtype": entry.dtype,
                "tokens": {s: self.suite.tokens(h)[s] for s in self.splits(h)},
                "text": hub_text(entry.text or self.suite.text, self.lock),
            }
            for h, entry in self.suite.hosts.items()
        }
        pairs = {
            f"{h}/{t}": {
                "host": h,
                "sites": self.harvested_with(self.address(h, t)),
                "ctx": self.site(self.address(h, t)).ctx,
                "source": self.teacher_source(h, t),
                "d_sae": self.teacher(h, t).d_sae,
                "n_sae": len(self.cells(h, t)),
                "n_tuned": sum(self.arm(h, t, a).tuned for a, _ in self.cells(h, t)),
            }
            for h, t in self.pairs()
        }
        budget = self.suite.finetune.model_dump(include={"steps", "batch", "pool_gib"})
        settings = {"suite": self.suite.smoke_of or self.name, "hosts": hosts, "pairs": pairs, **budget}
        return Job("inputs.preflight", [], {"out": self.preflight_file()}, settings)

    def memory_mb(self, address: str) -> int:
        """MB of main memory to ask a cluster for: of a host's largest job, as far as the config says its shapes."""
        host = address.partition("/")[0]
        shapes = [self._shape(h, t) for h, t in self.pairs() if h == host]
        return LIBRARIES_MB + max((shape.memory for shape in shapes if shape), default=0) // 10**6

    def _shape(self, host: str, teacher: str) -> Shape | None:
        """Of a pair whose config says all of it, without a look at files; None for any other."""
        entry, d_sae, cells = self.host(host), self.teacher(host, teacher).d_sae, self.cells(host, teacher)
        if entry.size is None or d_sae is None:
            return None
        return Shape(
            **entry.size.model_dump(exclude={"d_model"}),
            d_in=entry.size.d_model,
            d_sae=d_sae,
            ctx=self.site(self.address(host, teacher)).ctx,
            n_sites=len(self.harvested_with(self.address(host, teacher))),
            bytes_per_number=BYTES[entry.dtype],
            tokens=self.suite.tokens(host),
            n_sae=len(cells),
            n_tuned=sum(self.arm(host, teacher, arm).tuned for arm, _ in cells),
            steps=self.suite.finetune.steps,
            batch=self.suite.finetune.batch,
            pool=self.suite.finetune.pool_gib * GIB,
        )

    def preflight_made_by(self) -> str:
        """Its fingerprint; never the same twice while a pair is not run, for the reason may have gone."""
        return self.preflight().fingerprint + (f" again={time.time_ns()}" if self.not_run() else "")

    def fetch_all(self) -> Job:
        """Fetch all that a suite needs and pin it: writes config/SUITE.lock.yaml."""
        pairs = self.pairs()
        hosts = list(dict.fromkeys(h for h, _ in pairs))
        texts = {str(t): t for h in hosts if (t := load_text(self.host(h).text or self.suite.text))}
        # what the configuration says, not what an older lock file says
        fresh = type(self)(self.name, self.suite, self.results)
        fresh.lock = Lock({})
        sources = [fresh.host_source(h) for h in hosts] + [fresh.teacher_source(h, t) for h, t in pairs]
        return Job(
            "inputs.fetch_all",
            [],
            {"out": CONFIG / f"{self.suite.smoke_of or self.name}.lock.yaml"},
            {
                "suite": self.name,
                "sources": [s for s in sources if s],
                "datasets": {t.name: t.revision for t in texts.values() if isinstance(t, HubText)},
            },
        )
