import json

import pandas as pd

from rsae.report.tables import archive


def test_what_is_archived_is_what_was_there(tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    frame = pd.DataFrame({"arm": ["rsae", "teacher"], "value": [0.1234567890123, 2.0]})
    frame.to_csv(tables / "cells.csv", index=False)
    (tmp_path / "run-card.json").write_text('{"commit": "abc"}')
    (tmp_path / "tuning.json").write_text('{"chosen": 1}')
    out = tmp_path / "out"
    out.mkdir()
    (out / "older.parquet").write_text("")
    archive.write([tables / "cells.csv"], tmp_path / "run-card.json", {"h/t/rsae": tmp_path / "tuning.json"}, out)
    assert {p.name for p in out.iterdir()} == {"cells.parquet", "run-card.json", "tuning.json"}
    pd.testing.assert_frame_equal(pd.read_parquet(out / "cells.parquet"), frame)
    assert json.loads((out / "tuning.json").read_text()) == {"h/t/rsae": {"chosen": 1}}
