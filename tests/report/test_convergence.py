"""A teacher that further training helps is called by its name."""

from rsae.report.tables import convergence


def trials(*found):
    """(mse, l0) of the teacher first, then of each trial."""
    rows = [{"mse_sum": mse, "l0_threshold": l0, "l1_coefficient": 1.0, "lr": 1e-3} for mse, l0 in found]
    return {"teacher": rows[0], "tried": rows[1:]}


def test_only_less_error_at_no_more_features_is_help():
    text = convergence.table(
        {
            "h/done": trials((10.0, 20.0), (9.95, 20.0), (11.0, 18.0)),  # half a percent is none
            "h/denser": trials((10.0, 20.0), (8.0, 25.0)),  # paid for
            "h/young": trials((10.0, 20.0), (10.5, 20.0), (9.8, 20.1)),
        }
    )
    assert text.count("| helps") == 1
    assert "**Converged**: h/done, h/denser." in text
    assert "**Not converged**: h/young." in text
    assert "| -2.0%" in text
