"""The host's tokenizer, without the host."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rsae.data.hub import network
from rsae.data.hub.receipts import opened


def load_tokenizer(path: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer in a local Hugging Face directory.

    Raises:
        ValueError: there is none.
    """
    if not Path(path).exists():  # a name on the hub
        network.look()
    try:
        return AutoTokenizer.from_pretrained(opened(path), trust_remote_code=False)
    except Exception as error:  # of json, of the tokenizers library, of transformers
        raise ValueError(f"no tokenizer in host {path}: {' '.join(str(error).split())}") from error
