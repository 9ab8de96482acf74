"""Tables as they were made: a number that was changed by hand is told from one that was measured."""

from collections.abc import Sequence
from pathlib import Path

from rsae.runtime.files import read_sealed, sealed, sha256, write_json

DIGESTS = "digests.json"  # beside the tables that it is of


def record(tables: Sequence[Path]) -> None:
    """Write the sha256 of ``tables``, which lie in one folder, beside them."""
    write_json(tables[0].parent / DIGESTS, sealed({path.name: sha256(path) for path in tables}))


def untouched(table: Path) -> None:
    """Hold a table against the digest that was taken when it was made.

    Raises:
        ValueError: there is no such digest, or the table was changed since.
    """
    remedy = f"make it again with `snakemake {table} --forcerun tables`"
    if read_sealed(table.parent / DIGESTS, remedy).get(table.name) != sha256(table):
        raise ValueError(f"{table} was changed after it was made; {remedy}")
