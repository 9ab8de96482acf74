"""Names of sites, by everybody who gives them: transformer_lens, Hugging Face, dictionary_learning."""

import re

# a pattern to its site in transformer_lens's words; {0} is the layer
NAMES = {
    r"blocks\.(\d+)\.hook_(resid_pre|resid_mid|resid_post|mlp_out|attn_out|mlp_in|attn_in)": "blocks.{0}.hook_{1}",
    r"blocks\.(\d+)\.(attn\.hook_\w+|mlp\.hook_\w+|ln\d\.hook_\w+|hook_\w+)": "blocks.{0}.{1}",
    # a module of a Hugging Face model gives its output: a block's is the stream behind it
    r"(?:\w+\.)*(?:layers|h|blocks)\.(\d+)": "blocks.{0}.hook_resid_post",
    r"(?:\w+\.)*(?:layers|h)\.(\d+)\.mlp": "blocks.{0}.hook_mlp_out",
    r"(?:\w+\.)*(?:layers|h)\.(\d+)\.(?:self_attn|attn|attention)": "blocks.{0}.hook_attn_out",
    # dictionary_learning and SAEBench
    r"(resid_pre|resid_post|mlp_out|attn_out)_layer_(\d+)": "blocks.{1}.hook_{0}",
    r"layer_(\d+)_(resid_pre|resid_post|mlp_out|attn_out)": "blocks.{0}.hook_{1}",
}


def site_of(name: str) -> str | None:
    """The site in transformer_lens's words; None where the name is nobody's that is known."""
    for pattern, site in NAMES.items():
        if found := re.fullmatch(pattern, name):
            return site.format(*found.groups())
    return None


def same(one: str, other: str) -> bool:
    """Whether two sites in transformer_lens's words are one: the end of a block is the beginning of the next."""
    return _stream(one) == _stream(other)


def _stream(site: str) -> str | int:
    found = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", site)
    return site if found is None else int(found[1]) + (found[2] == "post")


def check_site(trained: str | None, hook: str, what: str) -> None:
    """Refuse a teacher of another site than ``hook``, the one that is read.

    Raises:
        ValueError: its files name another one, or one that nobody knows.
    """
    if trained is None:
        return
    site = site_of(trained)
    if site is None:
        raise ValueError(
            f"{what} names its site {trained!r}, which is not known here (blocks.8.hook_resid_post, model.layers.8 and"
            " resid_post_layer_8 are); correct it in its files"
        )
    if not same(site, site_of(hook) or hook):
        raise ValueError(f"{what} was trained at {trained}, and {hook} is read; read the former, or take another SAE")
