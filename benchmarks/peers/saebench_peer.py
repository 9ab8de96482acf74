"""SAEBench's side of :mod:`benchmarks.peers.saebench`, run by an interpreter that has SAEBench, imported by nobody.

``python saebench_peer.py OUT NAME=SAE_DIR ...`` in a folder that holds ``fancyzhx/ag_news``, which SAEBench's loader
then takes for the data set of that name. Writes ``OUT/{NAME}.json``, SAEBench's own results, and ``OUT/{NAME}.npz``:
codes that it probed, and on all rows, each class against the others, the features chosen and what its probes got right.
"""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sae_bench.evals.sparse_probing import main as sparse_probing
from sae_bench.evals.sparse_probing import probe_training
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.sae_bench_utils import activation_collection
from sae_bench.sae_bench_utils.general_utils import load_and_format_sae
from sae_lens import SAE
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2LMHeadModel

import rsae.saelens  # noqa: F401  teaches sae_lens our architecture
from benchmarks.harvest import hooked
from rsae.evaluate.probe_scores import KS

DATA = "fancyzhx/ag_news"


def main(out: Path, asked: dict, saes: dict[str, str]) -> None:
    """Every SAE: the whole evaluation as it is, then its parts on rows that both sides know."""
    torch.set_num_threads(1)
    model = hooked(asked["host"])  # the only class that SAEBench takes
    weights = convert_gpt2_weights(GPT2LMHeadModel.from_pretrained(asked["host"]), model.cfg)
    model.load_and_process_state_dict(weights, fold_ln=False, center_writing_weights=False, center_unembed=False)
    config = SparseProbingEvalConfig(
        model_name="embedded", dataset_names=[DATA], llm_dtype="float32", llm_batch_size=32, k_values=[*KS],
        probe_train_set_size=2 * asked["train"], probe_test_set_size=2 * asked["test"],
        context_length=asked["ctx"], random_seed=asked["seed"],
    )  # fmt: skip
    layer = int(asked["hook"].split(".")[1])
    acts = sparse_probing.get_dataset_activations(DATA, config, model, 32, layer, asked["hook"], "cpu")
    for name, folder in saes.items():
        loaded = SAE.load_from_disk(folder)
        with suppress(NotImplementedError):  # as its own loader does; sae_lens refuses it for TopK
            loaded.fold_W_dec_norm()
        loaded.cfg.metadata.hook_name, loaded.cfg.metadata.model_name = asked["hook"], "embedded"
        _, sae, _ = load_and_format_sae(name, loaded, "cpu")
        results, per_class = sparse_probing.run_eval_single_sae(config, sae, model, "cpu", str(out / "cache"))
        (out / f"{name}.json").write_text(json.dumps({"mean": results, "classes": per_class}))
        train, test = (activation_collection.get_sae_meaned_activations(side, sae, 125) for side in acts)
        np.savez(out / f"{name}.npz", **parts(train, test))


def parts(train: dict[str, torch.Tensor], test: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Mean codes of both sides, class after class; chosen features and accuracies of each class against the others."""
    z, zt = (torch.cat(list(side.values())) for side in (train, test))
    found: dict[str, Any] = {"z_train": z.numpy(), "z_test": zt.numpy()}
    sides = [np.repeat(np.arange(len(side)), [len(v) for v in side.values()]) for side in (train, test)]
    y, yt = map(torch.from_numpy, sides)
    for number in range(len(train)):
        own, own_test = ((labels == number).int() for labels in (y, yt))
        for k in KS:
            mask = probe_training.get_top_k_mean_diff_mask(z, own, k)
            cut = [probe_training.apply_topk_mask_reduce_dim(side, mask) for side in (z, zt)]
            probe, accuracy = probe_training.train_sklearn_probe(cut[0], own, cut[1], own_test)
            found[f"features-{number}-{k}"] = np.flatnonzero(~mask.numpy())
            found[f"right-{number}-{k}"] = probe.predict(cut[1].numpy()) == own_test.numpy()
            assert found[f"right-{number}-{k}"].mean() == accuracy
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    main(folder, json.loads((folder / "asked.json").read_text()), dict(pair.split("=", 1) for pair in sys.argv[2:]))
