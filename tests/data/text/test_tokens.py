import numpy as np
import pytest

from rsae.data.text import tokens


class Letters:
    """One id per letter, a = 0: the smallest tokenizer that has a token 0."""

    bos_token_id = 26
    all_special_tokens = ("<bos>",)

    def __call__(self, text, add_special_tokens, split_special_tokens, verbose):
        assert not add_special_tokens  # BOS is a policy of the suite, not of a tokenizer
        assert split_special_tokens  # text is text
        return {"input_ids": [ord(c) - ord("a") for c in text]}


DOCUMENTS = [("one", "abcdefg"), ("two", "hi"), ("three", "jklm")]


def test_rows_with_bos_start_with_it_and_nothing_else_does():
    rows = tokens.tokenise(DOCUMENTS, Letters(), ctx=4, bos=True)
    assert [r.ids.tolist() for r in rows.rows] == [
        [26, 0, 1, 2],
        [26, 3, 4, 5],
        [26, 6],
        [26, 7, 8],
        [26, 9, 10, 11],
        [26, 12],
    ]
    assert [r.document for r in rows.rows] == [0, 0, 0, 1, 2, 2]
    assert rows.n_tok == 7 + 2 + 4


def test_rows_without_bos():
    rows = tokens.tokenise(DOCUMENTS, Letters(), ctx=4, bos=False)
    assert [r.ids.tolist() for r in rows.rows] == [[0, 1, 2, 3], [4, 5, 6], [7, 8], [9, 10, 11, 12]]


def test_limits_end_at_whole_documents():
    rows = tokens.tokenise(DOCUMENTS, Letters(), ctx=4, bos=False, max_tok=8)
    assert {r.name for r in rows.rows} == {"one", "two"}
    rows = tokens.tokenise(DOCUMENTS, Letters(), ctx=4, bos=False, max_rows_per_document=1)
    assert [len(r.ids) for r in rows.rows] == [4, 2, 4]


def test_bad_text_is_refused():
    with pytest.raises(ValueError, match=r"document 1 \('void'\) is empty"):
        tokens.tokenise([("full", "a"), ("void", "")], Letters(), ctx=4, bos=True)
    with pytest.raises(ValueError, match="holds 13 tokens, fewer than the 14"):
        tokens.tokenise(DOCUMENTS, Letters(), ctx=4, bos=False, max_tok=14)
    nameless = Letters()
    nameless.bos_token_id = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="set `bos: false`"):
        tokens.tokenise(DOCUMENTS, nameless, ctx=4, bos=True)


def test_round_trip_and_padding(tmp_path):
    rows = tokens.tokenise(DOCUMENTS, Letters(), ctx=4, bos=True)
    tokens.write(tmp_path / "t.parquet", rows, {"text": "x"})
    read = tokens.read(tmp_path / "t.parquet")
    assert read.bos
    assert [r.ids.tolist() for r in read.rows] == [r.ids.tolist() for r in rows.rows]
    members, ids = next(tokens.batches(read, 3))
    assert ids.dtype == np.int64
    assert ids.tolist() == [[26, 0, 1, 2], [26, 3, 4, 5], [26, 6, 0, 0]]
    assert [len(m.ids) for m in members] == [4, 4, 2]


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match=r"t\.parquet"):
        tokens.read(path)
