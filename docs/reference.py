"""docs/api.md from the docstrings: ``python docs/reference.py`` writes it, with ``--check`` it only looks."""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/api.md"
sys.path.insert(0, str(ROOT))  # the package is run from a clone
# what somebody imports; everything else is called by these or by Snakemake
PUBLIC = {
    "rsae": ["upgrade", "Upgraded"],
    "rsae.saelens": ["RSAEConfig", "RSAE", "convert"],
    "rsae.standalone": ["SAE"],
    "rsae.sae.model": ["SAE"],
    "rsae.sae.loading": ["load", "load_any", "settled"],
    "rsae.data.activations.host": ["Host"],
    "rsae.sae.gates.base": ["Gate"],
    "rsae.sae.gates.rational": ["Rational"],
    "rsae.sae.refine.base": ["Refinement"],
    "rsae.sae.refine.resolvent": ["Resolvent"],
    "rsae.arms": ["Arm", "Inputs", "Design"],
    "rsae.sae.support": ["mean_l0", "settle"],
    "rsae.rational.minimax": ["minimax", "Fit"],
    "rsae.rational.safe_pade": ["SafePade"],
    "rsae.training.finetune": ["finetune", "Settings", "Outcome"],
    "rsae.evaluate.stability": ["Stability", "compare"],
    "rsae.report.stats.metrics": ["Metric"],
    "rsae.api.push": ["push"],
}


def page() -> str:
    """The whole page."""
    parts = [
        "# Reference\n\nWhat one imports, from the docstrings, by `python docs/reference.py`. Commands:"
        " `python -m rsae --help`.\n"
    ]
    for name, objects in PUBLIC.items():
        module = importlib.import_module(name)
        parts.append(f"## {name}\n\n{inspect.getdoc(module)}\n")
        for each in objects:
            parts += described(each, getattr(module, each))
    return "\n".join(parts)


def described(name: str, thing: Any) -> Iterator[str]:
    """A class with its public methods, or a function."""
    kind = "class " if inspect.isclass(thing) else ""
    yield f"### {kind}{name}\n\n```python\n{name}{signature(thing)}\n```\n\n{inspect.getdoc(thing)}\n"
    if not inspect.isclass(thing):
        return
    for method, member in vars(thing).items():
        member = inspect.unwrap(getattr(member, "__func__", member))
        if not method.startswith("_") and inspect.isfunction(member) and member.__doc__:
            yield f"- `{method}{signature(member)}`: {' '.join(inspect.getdoc(member).split())}"
    yield ""


def signature(thing: Any) -> str:
    """As it was written: jaxtyping's shapes included."""
    try:
        found = re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(thing)))  # an address is another every time
    except ValueError:
        return "(...)"
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", found)  # classes by their own names


if __name__ == "__main__":
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit("docs/api.md is older than the docstrings; run `python docs/reference.py`")
