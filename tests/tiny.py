"""Everything the paper suite fetches, tiny, in the layouts and under the names of the real repositories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from rsae.data.text.tokenizer import load_tokenizer
from tests import checkpoints, hub

VOCAB, NARROW, D_SAE, K = 2048, 32, 64, 4
GEMMA = 2304  # sae_lens's loader of Gemma Scope knows no other width, and no d_sae but 16384
SAEBENCH = "adamkarvonen/saebench_pythia-160m-deduped_width-2pow14_date-0108"
SIZES: dict[str, Any] = {"vocab_size": VOCAB, "intermediate_size": 64, "bos_token_id": 0, "eos_token_id": 0}
WORDS = "the a of one two model layer vector sparse code reads writes is was not very and or but gate".split()


def models(folder: Path) -> dict[str, Path]:
    """{repository: its files} of hosts and teachers; a few hundred MB, for Gemma Scope is at its real size."""
    torch.manual_seed(0)
    hosts: dict[str, Any] = {
        "openai-community/gpt2": GPT2LMHeadModel(
            GPT2Config(vocab_size=VOCAB, n_embd=NARROW, n_layer=9, n_head=4, n_positions=128, bos_token_id=0)
        ),
        "EleutherAI/pythia-160m-deduped": GPTNeoXForCausalLM(
            GPTNeoXConfig(hidden_size=NARROW, num_hidden_layers=9, num_attention_heads=4, **SIZES)
        ),
        "google/gemma-2-2b": Gemma2ForCausalLM(
            Gemma2Config(
                hidden_size=GEMMA,
                num_hidden_layers=13,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=8,
                **SIZES,
            )
        ),
    }
    for repo, model in hosts.items():
        # residual streams of size 1, on which the random teachers have active features (Gemma scales by √d)
        model.get_input_embeddings().weight.data.normal_(0, GEMMA**-0.5 if "gemma" in repo else 1.0)
        model.save_pretrained(folder / repo)
        load_tokenizer("assets/embedded/host").save_pretrained(folder / repo)
    narrow, wide = checkpoints.tensors(NARROW, D_SAE), checkpoints.tensors(GEMMA, D_SAE)
    topk = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": "layer_norm"}
    jb, oai = folder / "jbloom/GPT2-Small-SAEs-Reformatted", folder / "jbloom/GPT2-Small-OAI-v5-32k-resid-post-SAEs"
    checkpoints.sae_lens_before_6(jb / "blocks.8.hook_resid_pre", narrow)
    checkpoints.sae_lens_before_6(oai / "v5_32k_layer_7.pt", narrow, **topk)
    for kind, name in {"Standard": "AutoEncoder", "JumpRelu": "JumpReluAutoEncoder", "TopK": "AutoEncoderTopK"}.items():
        inside = f"{kind}_pythia-160m-deduped__0108/resid_post_layer_8/trainer_2"
        checkpoints.dictionary_learning(folder / SAEBENCH / inside, name, narrow, K)
    for kind, name in {"vanilla": "AutoEncoder", "topk": "AutoEncoderTopK"}.items():
        inside = f"gemma-2-2b_{kind}_width-2pow14_date-1109/resid_post_layer_12/trainer_2"
        checkpoints.dictionary_learning(
            folder / "canrager/saebench_gemma-2-2b_width-2pow14_date-1109" / inside, name, wide, K,
            layer=12, submodule_name="resid_post_layer_12", lm_name="google/gemma-2-2b",
        )  # fmt: skip
    scope = checkpoints.tensors(GEMMA, 16384)
    checkpoints.gemma_scope(folder / "google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82", scope)
    repos = [*hosts, "jbloom/GPT2-Small-SAEs-Reformatted", "jbloom/GPT2-Small-OAI-v5-32k-resid-post-SAEs", SAEBENCH,
             "canrager/saebench_gemma-2-2b_width-2pow14_date-1109", "google/gemma-scope-2b-pt-res"]  # fmt: skip
    return {repo: folder / repo for repo in repos}


def served(files: Mapping[str, Mapping[str, Path]]) -> hub.Hub:
    """A hub with all of it; ``files``: {"models" or "datasets": {repository: its files}}."""
    local = hub.Hub()
    for kind, repos in files.items():
        for repo, folder in repos.items():
            local.add(repo, folder, kind)
    local.revisions["datasets", "Skylion007/openwebtext"] = {"refs/convert/parquet": hub.COMMIT}
    return local


DATASETS = {"Skylion007/openwebtext": "refs/convert/parquet", "monology/pile-uncopyrighted": "main"}


def sentences(n_doc: int, seed: int) -> list[str]:
    """Documents of a few hundred words each."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(150, 300))) for _ in range(n_doc)]


def datasets(folder: Path) -> dict[str, Path]:
    """{repository: its files} of the texts."""
    for seed, repo in enumerate(DATASETS):
        (folder / repo).mkdir(parents=True)
        pq.write_table(pa.table({"text": sentences(500, seed)}), folder / repo / "train-00000.parquet")
    return {repo: folder / repo for repo in DATASETS}
