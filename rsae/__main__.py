"""Entry point of ``python -m rsae``, and of ``rsae`` where the package is installed."""

import io
import os
import sys

# One thread per job, whatever the core count: parallelism is between jobs, and sums that are cut
# differently round differently. Must be set before NumPy loads its BLAS.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from rsae.cli import main  # noqa: E402

if __name__ == "__main__":
    for _stream in (sys.stdout, sys.stderr):
        if isinstance(_stream, io.TextIOWrapper):  # what the locale of a terminal lacks ends no command
            _stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Thread pools of native libraries are torn down with the interpreter, and on a busy machine this once ended a
        # process whose file was written with "terminate called without an active exception": leave without it.
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
