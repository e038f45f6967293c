"""Reading JSON and YAML: what is refused, in one line that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elegans_gnn._text import read_json, read_yaml, write_json
from elegans_gnn.errors import InvalidArgumentError

VALUES: list[tuple[str, Any]] = [
    ("2e-3", 0.002), ("3", 3), ("-4", -4), ("1.5", 1.5), (".5", 0.5), ("1_000", 1000), ("true", True), ("null", None),
    ("[1, a]", [1, "a"]), ("010", "010"), ("1:30", "1:30"), ("0x10", "0x10"), ("x2e-3", "x2e-3"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_yaml_numbers_are_those_of_json(text: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {text}\n")
    read = read_yaml(tmp_path / "a.yaml", "--config")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


REFUSED = {
    "a repeated key": "a: 1\nb: 2\na: 3",
    "an alias": "a: &x [1]\nb: *x",
    "a key that is no name": "? [1]\n: 2",
    "an object": "a: !!python/object:os.system 1",
    "deep nesting": "[" * 100_000,
    "half a list": "a: [3",
    "a merge": "a:\n  <<: 3",
    "too large": "a: " + "1" * (2 << 20),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_list_of_settings_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(REFUSED[case])
    with pytest.raises(InvalidArgumentError, match="--config must be a YAML file, got .*mine.yaml: ") as caught:
        read_yaml(path, "--config")
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{", b"\xff\xfe", b"9" * 5_000, b""])
def test_what_is_no_json_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="folder must be a readable JSON file config.json, got ") as caught:
        read_json(path, "folder")
    assert len(str(caught.value)) < 500
    with pytest.raises(InvalidArgumentError, match=r"none\.json: No such file"):
        read_json(tmp_path / "none.json", "folder")


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [float("nan"), 1.5], "b": {"c": float("inf")}})
    assert read_json(tmp_path / "a.json", "a") == {"a": [None, 1.5], "b": {"c": None}}
