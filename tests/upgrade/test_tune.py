"""The rule by which a teacher's lambda and learning rate are chosen."""

import pytest

from rsae.stages.tune import choose
from rsae.stages.tune_arm import choose as choose_arm

TEACHER = {"arm": "teacher", "mse_sum": 10.0, "l0": 20.0}


def tried(*settings):
    """(lambda, control's mse, control's l0, rsae's mse) each."""
    found = [TEACHER]
    for l1, mse, l0, student in settings:
        setting = {"l1_coefficient": float(l1), "lr": 1e-3}
        found += [{"arm": "teacher_ft", **setting, "mse_sum": mse, "l0": l0}]
        found += [{"arm": "rsae", **setting, "mse_sum": student, "l0": 19.0}]
    return found


def test_the_lowest_sum_among_settings_that_leave_the_control_no_worse():
    # 1: too dense; 2 and 3 qualify; 4 would have the lowest sum but spoils the control
    found = choose(tried((1, 8.0, 21.0, 8.0), (2, 9.0, 20.0, 30.0), (3, 10.0, 19.0, 25.0), (4, 10.1, 15.0, 11.0)))
    assert found == {"l1_coefficient": 3, "lr": 1e-3}


def test_the_best_control_where_none_is_as_good_as_the_teacher():
    assert choose(tried((1, 9.0, 21.0, 9.0), (2, 11.0, 19.0, 9.0), (3, 10.5, 18.0, 30.0)))["l1_coefficient"] == 3


def test_a_control_that_is_always_denser_is_refused():
    with pytest.raises(ValueError, match="denser than the teacher at every setting"):
        choose(tried((1, 9.0, 21.0, 9.0)))


def test_an_arm_of_its_own_takes_its_lowest_error_at_the_teachers_l0():
    tried = [{"lr": 1.0, "mse_sum": 5.0, "l0_threshold": 20.3}, {"lr": 2.0, "mse_sum": 7.0, "l0_threshold": 20.1}]
    tried += [{"lr": 3.0, "mse_sum": 6.0, "l0_threshold": 19.0}]
    assert choose_arm(tried, 20.0)["lr"] == 3.0
    assert choose_arm(tried, 18.0)["lr"] == 3.0  # none is as sparse: the sparsest
