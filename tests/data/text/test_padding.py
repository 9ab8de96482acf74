"""Padding that somebody else put into rows of ids, by hand."""

import numpy as np
import pytest

from rsae.data.text import padding

PAD, BOS = 0, 1


def kept(*rows, special=(PAD, BOS), bos_id=BOS):
    found, left_out = padding.by_runs(np.array(rows), set(special), bos_id)
    return [row.tolist() for row in found], left_out


def test_runs_at_either_end_are_left_out_and_counted():
    assert kept([BOS, 5, 6, PAD, PAD], [PAD, PAD, BOS, 7, 8]) == ([[BOS, 5, 6], [BOS, 7, 8]], 4)


def test_padding_by_bos_leaves_the_rows_own():
    assert kept([BOS, BOS, BOS, 5, 6], [BOS, 5, 6, BOS, BOS], special=[BOS]) == ([[BOS, 5, 6], [BOS, 5, 6]], 4)


def test_a_single_mark_is_no_padding_and_text_in_the_middle_is_text():
    assert kept([BOS, 5, PAD, PAD, 6], [BOS, 5, 6, 7, PAD]) == ([[BOS, 5, PAD, PAD, 6], [BOS, 5, 6, 7, PAD]], 0)


def test_beside_a_row_that_is_padded_a_single_one_is_padding_too():
    assert kept([BOS, 5, PAD, PAD], [BOS, 5, 6, PAD], [BOS, 5, 6, 7]) == ([[BOS, 5], [BOS, 5, 6], [BOS, 5, 6, 7]], 3)


def test_a_row_of_nothing_else_is_empty():
    assert kept([PAD, PAD, PAD]) == ([[]], 3)


def test_a_mask_says_which_ids_are_text():
    ids = np.array([[9, 5, 6, 0], [0, 0, 7, 8]])
    mask = np.array([[True, True, True, False], [False, False, True, True]])
    assert [row.tolist() for row in padding.by_mask(ids, mask)] == [[9, 5, 6], [7, 8]]


@pytest.mark.parametrize(
    ("row", "says"), [([0, 0, 0], "keeps nothing of row 0"), ([1, 0, 1], "several pieces of row 0")]
)
def test_a_mask_with_a_hole_or_nothing_is_refused(row, says):
    with pytest.raises(ValueError, match=says):
        padding.by_mask(np.array([[1, 2, 3]]), np.array([row], bool))
