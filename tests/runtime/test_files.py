import json

import pytest

from rsae.runtime.files import canonical, digest, replacing, write_json


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "f"
    for name in ("old", "new"):
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [p.name for p in folder.iterdir()] == ["new"]
    with pytest.raises(RuntimeError), replacing(folder) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_equal_values_have_equal_digests():
    assert canonical({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) != digest({"a": 1, "b": 2})
