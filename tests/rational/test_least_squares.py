import numpy as np
import pytest

from rsae.rational.least_squares import Problem
from rsae.rational.safe_pade import SafePade

FORM = SafePade(np.array([0.1, 0.5, -0.3, 0.7]), np.array([0.2, -0.4, 0.9]), 0.1)


@pytest.mark.parametrize(("constant", "scales"), [(True, True), (False, True), (True, False), (False, False)])
def test_the_jacobian_is_the_residuals_derivative(constant, scales):
    rng = np.random.default_rng(0)
    v = np.linspace(-1.3, 1.3, 50)
    problem = Problem(FORM, v, np.maximum(v, 0), rng.random(50), constant=constant, scales=scales, rigidity=1e-6)
    y = 0.1 * rng.normal(size=len(problem.free))
    step = 1e-6
    columns = [
        (problem.residual(y + step * e) - problem.residual(y - step * e)) / (2 * step)
        for e in np.eye(len(problem.free))
    ]
    np.testing.assert_allclose(problem.jacobian(y), np.stack(columns, 1), rtol=1e-5, atol=1e-8)


def test_the_family_is_recovered_from_its_own_values():
    v = np.linspace(-1, 1, 400)
    moved = SafePade(FORM.num * 1.05, FORM.den * 0.97, FORM.center)
    wanted = 1.1 * moved.inside(v / 0.9)
    weights = np.full(400, 1 / 400)
    found = Problem(FORM, v, wanted, weights, constant=True, scales=True, rigidity=1e-14).solve()
    assert found.error_after < 1e-6 < found.error_before
    np.testing.assert_allclose(found.c_out * found.form.inside(v / found.c_in), wanted, atol=1e-5)


def test_a_constant_that_is_held_stays():
    v = np.linspace(-1, 1, 200)
    start = FORM._replace(den=np.array([0.0, -0.4, 0.9]))
    problem = Problem(start, v, np.maximum(v, 0), np.full(200, 1 / 200), constant=False, scales=False, rigidity=1e-14)
    found = problem.solve()
    assert found.form.den[0] == 0
    assert (found.c_in, found.c_out) == (1, 1)
    assert found.error_after < found.error_before
