"""Entry point of ``python -m rsae``, and of ``rsae`` where the package is installed."""

import os

# One thread per job, whatever the core count: parallelism is between jobs, and sums that are cut
# differently round differently. Must be set before NumPy loads its BLAS.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from rsae.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
