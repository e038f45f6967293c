"""Broken, hostile and huge files: ConnectomeFormatError with file, line and remedy, at once, in little memory."""

from __future__ import annotations

import os
import pickle
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elegans_gnn.connectome import load_connectome, read_connectome, read_csv, read_graphml, write_csv, write_graphml
from elegans_gnn.errors import ConnectomeFormatError
from tests.connectome.broken_cases import BODY, CSV, GRAPHML

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def quick_and_small() -> Iterator[None]:
    """Two seconds (of this process: neighbours do not count) and 64 MiB for whatever the test does."""
    tracemalloc.start()
    begin = time.process_time()
    yield
    seconds = time.process_time() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 2
    assert peak < 64 * 2**20


def save(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(read: Callable[[], object], path: Path, line: int | None, message: str) -> ConnectomeFormatError:
    with pytest.raises(ConnectomeFormatError) as caught:
        read()
    error = caught.value
    assert error.path == str(path)
    assert error.line == line
    assert re.search(message, str(error))
    assert str(error).startswith(str(path) + ("" if line is None else f", line {line}") + ": ")
    assert error.remedy
    assert "\n" not in str(error)
    assert len(str(error)) < len(str(path)) + 400
    return error


@pytest.mark.usefixtures("quick_and_small")
@pytest.mark.parametrize("case", GRAPHML)
def test_broken_graphml(tmp_path: Path, case: str) -> None:
    content, line, message = GRAPHML[case]
    path = save(tmp_path / "broken.graphml", content)
    refused(lambda: read_graphml(path), path, line, message)


@pytest.mark.usefixtures("quick_and_small")
@pytest.mark.parametrize("case", CSV)
def test_broken_csv(tmp_path: Path, case: str) -> None:
    neurons, synapses, at_fault, line, message = CSV[case]
    save(tmp_path / "neurons.csv", neurons)
    save(tmp_path / "synapses.csv", synapses)
    refused(lambda: read_connectome(tmp_path), tmp_path / f"{at_fault}.csv", line, message)


@pytest.mark.parametrize("cut", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_the_worm_cut_off_anywhere(tmp_path: Path, cut: float) -> None:
    path = tmp_path / "worm.graphml"
    write_graphml(load_connectome("varshney2011"), path)
    content = path.read_bytes()
    kept = content[: int(cut * len(content))]
    save(path, kept)
    error = refused(lambda: read_graphml(path), path, kept.count(b"\n") + 1, "the file is damaged, cut off, or not in")
    assert pickle.loads(pickle.dumps(error)).args == error.args


@pytest.mark.usefixtures("quick_and_small")
@pytest.mark.parametrize("name", ["huge.graphml", "huge.csv"])
def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, BODY if name.endswith("ml") else "pre,post\na,b\n")
    os.truncate(path, 2**30)  # sparse: no disk is used
    error = refused(lambda: read_connectome(path), path, None, "1,073,741,824 bytes are more than max_bytes=8,388,608")
    assert error.remedy == "pass a larger max_bytes if this is really a connectome"


@pytest.mark.usefixtures("quick_and_small")
@pytest.mark.parametrize("name", ["huge.graphml", "huge.csv"])
def test_beyond_the_limit_memory_still_stays_small(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, BODY if name.endswith("ml") else "pre,post\na,b\n")
    os.truncate(path, 2**30)
    message = "not well-formed" if name.endswith("ml") else "column 'pre'|NUL"
    refused(lambda: read_connectome(path, max_bytes=2**31), path, 9 if name.endswith("ml") else 1, message)


def test_the_limit_can_be_raised_and_lowered(tmp_path: Path) -> None:
    worm = load_connectome("varshney2011")
    path = tmp_path / "worm.graphml"
    write_graphml(worm, path)
    size = path.stat().st_size
    assert read_graphml(path, max_bytes=size) == worm
    refused(lambda: read_graphml(path, max_bytes=size - 1), path, None, f"max_bytes={size - 1:,}")
    write_csv(worm, tmp_path / "neurons.csv", tmp_path / "synapses.csv")
    refused(
        lambda: read_csv(tmp_path / "neurons.csv", tmp_path / "synapses.csv", max_bytes=100),
        tmp_path / "neurons.csv",
        None,
        "max_bytes=100",
    )


@pytest.mark.usefixtures("quick_and_small")
def test_paths_that_are_no_files(tmp_path: Path) -> None:
    missing = tmp_path / "missing.graphml"
    refused(lambda: read_graphml(missing), missing, None, "No such file or directory; check the path")
    folder = tmp_path / "folder.graphml"
    folder.mkdir()
    refused(lambda: read_graphml(folder), folder, None, "not a regular file")
    refused(lambda: read_connectome(folder), folder / "neurons.csv", None, "No such file or directory")
    pipe = tmp_path / "pipe.graphml"
    os.mkfifo(pipe)
    refused(lambda: read_graphml(pipe), pipe, None, "not a regular file")
    refused(lambda: read_graphml("/dev/zero"), Path("/dev/zero"), None, "not a regular file")
    other = save(tmp_path / "worm.xlsx", "x")
    refused(
        lambda: read_connectome(other),
        other,
        None,
        "no known format by its name; pass a .graphml, .xml, .csv, .json, .parquet file, or",
    )


@pytest.mark.parametrize("name", ["long.csv", "long.graphml"])
def test_full_size_files_with_their_fault_at_the_end_are_refused_in_time(tmp_path: Path, name: str) -> None:
    if name == "long.csv":
        rows = "".join(f"n{n % 3000},n{n // 3000},{n % 7}\n" for n in range(620_000))
        content, line, message = f"pre,post,count\n{rows}a,b,-1\n", 620_002, "-1 is negative"
    else:
        edges = "".join(f'<edge source="a" target="b"><data key="c">{n}</data></edge>\n' for n in range(125_000))
        content, line, message = f"{BODY}{edges}<edge", 125_009, "unclosed token"
    path = save(tmp_path / name, content)
    assert 7 * 2**20 < path.stat().st_size < 8 * 2**20

    def seconds() -> float:
        begin = time.process_time()
        refused(lambda: read_connectome(path), path, line, message)
        return time.process_time() - begin

    # Best of three: neighbours on the same core slow this process down too.
    assert any(seconds() < 2 for _ in range(3))


DAMAGE = (
    *(b"<", b">", b'"', b"&", b",", b"\0", b"\xff", b"\r", b"\xed\xa0\x80", b"<!--", b"]]>", b"&a;"),
    *(b"-1", b"nan", b"1e400", b"99999999999999999999", b"gap", b"<node/>", b"</graph>", b"<graph>", b'<key id="x"/>'),
)


@EXAMPLES
@given(
    name=st.sampled_from(["plain.graphml", "elegans-ai.graphml", "neurons.csv", "synapses.csv"]),
    cuts=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from((b"", *DAMAGE))), min_size=1, max_size=4
    ),
)
def test_damage_is_refused_or_harmless_but_never_a_crash(
    tmp_path: Path, name: str, cuts: list[tuple[float, int, bytes]]
) -> None:
    graph = load_connectome("cook2020-pharynx").subset(range(6))
    write_csv(graph, tmp_path / "neurons.csv", tmp_path / "synapses.csv")
    path = tmp_path / name
    if path.suffix == ".graphml":
        write_graphml(graph, path, style=path.stem)
    content = path.read_bytes()
    for place, length, damage in cuts:
        start = int(place * len(content))
        content = content[:start] + damage + content[start + length :]
    save(path, content)
    try:
        read_connectome(path if path.suffix == ".graphml" else tmp_path)
    except ConnectomeFormatError as error:
        refusal = error
    else:
        return
    # A damaged name shows only where a synapse asks for it.
    assert refusal.path in (str(path), str(tmp_path / "synapses.csv"))
    assert refusal.remedy
    assert "\n" not in str(refusal)
