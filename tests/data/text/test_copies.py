"""Copies among documents are found, in other words neither; what is new stays."""

import random

from rsae.data.text.copies import distinct, words


def said(seed: int, n: int = 200) -> list[str]:
    """Words of a document that shares no run with that of another seed."""
    return [f"{seed}-{random.Random(seed * 1000 + i).randrange(10**6)}" for i in range(n)]


def firsts(*documents):
    return [first for _, first in distinct((None, d) for d in documents)]


def test_an_exact_copy_is_found_and_two_different_documents_stay():
    assert firsts(said(1), said(2), said(1)) == [True, True, False]


def test_a_copy_with_a_new_beginning_and_end_is_found():
    assert firsts(said(1), [*said(3, 20), *said(1), *said(4, 20)]) == [True, False]


def test_a_document_that_quotes_a_tenth_of_another_stays():
    assert firsts(said(1), [*said(2, 180), *said(1)[:20]]) == [True, True]


def test_a_document_stitched_of_two_others_is_found():
    assert firsts(said(1), said(2), [*said(1)[:100], *said(2)[100:]]) == [True, True, False]


def test_short_documents_are_compared_as_a_whole():
    assert firsts(["a", "b"], ["a", "c"], ["a", "b"]) == [True, True, False]


def test_case_and_white_space_make_no_other_document():
    assert words("The  cat\nSAT") == words("the cat sat")
