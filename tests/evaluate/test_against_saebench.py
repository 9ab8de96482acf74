"""Sparse probes against SAEBench's own code, which lives in an environment of its own (numpy < 2)."""

import pytest

from benchmarks.peers import environment, saebench
from rsae.evaluate.probe_scores import KS


@pytest.mark.slow
def test_saebench_probes_the_same_features_and_gets_the_same_answers(tmp_path):
    python = environment.made(tmp_path / "environment", saebench.SAEBENCH, saebench.BESIDE)
    train, test = 200, 80
    found = saebench.compared(python, tmp_path / "run", train, test)
    assert len(found) == 4
    # its mean over four classes: half of the examples of each are a draw of `test`; four standard errors
    near = 4 * 0.5 * 0.5 / test**0.5 / 4**0.5
    for name, both in found.items():
        assert both.codes < 1e-2, name  # a feature within rounding of a gate's threshold, on one token of a mean
        assert both.same_features == 1, name
        assert both.same_answers > 0.995, name  # two solvers, one of which stops earlier
        assert both.here.keys() == both.there.keys() == set(KS)
        for k in KS:
            assert abs(both.here[k] - both.there[k]) < near, (name, k)
        # something is there to be found: four standard errors of a mean over four classes above chance
        assert both.there[5] > 0.5 + 4 * 0.5 / (2 * test) ** 0.5 / 4**0.5
