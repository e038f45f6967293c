"""Pictures of weights and reconstructions: what is drawn where, which files are written, which input is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elegans_gnn.connectome import Connectome, load_connectome
from elegans_gnn.viz import per_edge, plot_edge_weights, plot_reconstructions, weight_matrix

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@pytest.fixture
def small() -> Connectome:
    """Five neurons, roles out of order, a gap junction beside a chemical synapse, a self-loop, one neuron isolated."""
    return Connectome.from_edges(
        "small",
        ["A", "B", "C", "D", "E"],
        ["A", "B", "A", "C", "D"],
        ["B", "A", "B", "A", "D"],
        kinds=["gap", "gap", "chemical", "chemical", "chemical"],
        roles=["motor", "sensory", "inter", "sensory", "unknown"],
    )


def test_per_edge_is_the_weight_or_the_root_mean_square_over_channels(small: Connectome) -> None:
    weights = np.array([1.0, -2.0, 3.0, -4.0, 5.0], dtype=np.float32)
    assert per_edge(small, weights).tolist() == weights.tolist()
    assert per_edge(small, weights).dtype == np.float64
    assert per_edge(small, np.stack([weights, -weights], axis=1)).tolist() == np.abs(weights).tolist()
    channels = np.zeros((5, 4))
    channels[0] = [1.0, 1.0, 1.0, 5.0]
    assert per_edge(small, channels)[0] == pytest.approx(7**0.5, rel=1e-12)


def test_weight_matrix_has_rows_that_send_and_adds_parallel_edges(small: Connectome) -> None:
    weights = np.arange(1.0, 6.0)
    matrix = weight_matrix(small, weights)
    by_pair: dict[tuple[str, str], float] = {}
    for pre, post, weight in zip(small.names[small.pre], small.names[small.post], weights, strict=True):
        by_pair[pre, post] = by_pair.get((pre, post), 0.0) + weight
    assert len(by_pair) == 4
    for row, pre in enumerate(small.names):
        for column, post in enumerate(small.names):
            expected = by_pair.get((pre, post), np.nan)
            assert np.array_equal(matrix[row, column], expected, equal_nan=True)


def test_weight_matrix_of_the_worm(worm: Connectome) -> None:
    matrix = weight_matrix(worm, worm.counts)
    assert matrix.shape == (279, 279)
    assert np.count_nonzero(~np.isnan(matrix)) == 2993
    assert np.nansum(matrix) == worm.counts.sum()
    assert not np.array_equal(np.isnan(matrix), np.isnan(matrix.T))


def test_a_weight_of_zero_is_not_a_missing_synapse(small: Connectome) -> None:
    assert np.count_nonzero(~np.isnan(weight_matrix(small, np.zeros(5)))) == 4


@pytest.mark.parametrize(
    ("shape", "got"), [((4,), r"\[4\]"), ((5, 2, 2), r"\[5, 2, 2\]"), ((), r"\[\]"), ((2, 5), r"\[2, 5\]")]
)
def test_weights_of_another_shape_are_refused(small: Connectome, shape: tuple[int, ...], got: str) -> None:
    message = rf"weights must be of shape \[5\] or \[5, C\] \(one per edge\), got {got}; take the order from"
    for function in (per_edge, weight_matrix, plot_edge_weights):
        with pytest.raises(ValueError, match=message):
            function(small, np.zeros(shape))


def test_neurons_stand_by_role_and_within_a_role_by_name(small: Connectome) -> None:
    """sensory B D, inter C, motor A, unknown E; pre is the row, post the column."""
    place = {"B": 0, "D": 1, "C": 2, "A": 3, "E": 4}
    weights = np.array([0.5, -1.0, 2.0, -3.0, 4.0])
    axes = plot_edge_weights(small, weights).axes[0]
    (dots,) = axes.collections
    drawn = {
        (int(row), int(column)): value
        for (column, row), value in zip(dots.get_offsets(), dots.get_array(), strict=True)
    }
    expected: dict[tuple[int, int], float] = {}
    for pre, post, weight in zip(small.names[small.pre], small.names[small.post], weights, strict=True):
        pair = place[str(pre)], place[str(post)]
        expected[pair] = expected.get(pair, 0.0) + weight
    assert drawn == pytest.approx(expected)
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["sensory (2)", "inter (1)", "motor (1)", "unknown (1)"]
    assert axes.get_xticks().tolist() == [0.5, 2.0, 3.0, 4.0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("receives (post)", "sends (pre)")
    # Row 0 is at the top, as in a matrix.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_colours_are_symmetric_about_zero(worm: Connectome) -> None:
    weights = np.random.default_rng(0).normal(1.0, 0.5, worm.num_edges)
    (dots,) = plot_edge_weights(worm, weights).axes[0].collections
    low, high = dots.get_clim()
    assert low == -high < 0


@pytest.mark.parametrize("weights", ["zero", "empty"])
def test_nothing_to_colour_is_drawn_all_the_same(weights: str, small: Connectome, tmp_path: Path) -> None:
    graph = small if weights == "zero" else Connectome.from_edges("bare", ["A", "B"], [], [])
    plot_edge_weights(graph, np.zeros(graph.num_edges), tmp_path / "weights.png")
    assert (tmp_path / "weights.png").is_file()


def test_the_file_of_the_weights_is_a_readable_picture(worm: Connectome, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(0.0, 0.1, (worm.num_edges, 3))
    figure = plot_edge_weights(worm, weights, tmp_path / "edge_weights.png")
    with Image.open(tmp_path / "edge_weights.png") as picture:
        assert (picture.width, picture.height) == tuple(np.round(figure.get_size_inches() * 150).astype(int))
        red, green, blue = np.asarray(picture.convert("RGB")).reshape(-1, 3).T.astype(int)
    assert np.count_nonzero((red > blue + 60) & (red > green + 30)) > 500
    assert "varshney2011: weight of each of 2993 connected pairs" in figure.axes[0].get_title(loc="left")


def test_the_same_picture_gives_the_same_bytes(small: Connectome, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot_edge_weights(small, np.arange(5.0), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_other_formats_are_written_by_suffix(small: Connectome, tmp_path: Path) -> None:
    plot_edge_weights(small, np.arange(5.0), tmp_path / "weights.svg")
    assert "<svg" in (tmp_path / "weights.svg").read_text()
    assert plot_edge_weights(small, np.arange(5.0), None).axes


def canvas_of(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """The picture inside the axes, before it is scaled."""
    (image,) = plot_reconstructions(originals, reconstructions).axes[0].images
    return np.asarray(image.get_array())


@pytest.fixture
def redrawn() -> tuple[np.ndarray, np.ndarray]:
    """Three pictures of 4 x 5; in the first, one pixel is missing and one is too much."""
    originals = np.zeros((3, 4, 5))
    originals[:, 1:3, 1:4] = 1.0
    reconstructions = originals * 0.9
    reconstructions[0, 1, 1] = 0.4
    reconstructions[0, 0, 0] = 0.6
    return originals, reconstructions


def test_originals_stand_over_reconstructions_over_errors(redrawn: tuple[np.ndarray, np.ndarray]) -> None:
    originals, reconstructions = redrawn
    canvas = canvas_of(originals, reconstructions)
    for number in range(3):
        left = number * 7
        assert np.allclose(canvas[:4, left : left + 5, 0], 1 - originals[number])
        assert np.allclose(canvas[6:10, left : left + 5, 0], 1 - reconstructions[number])
        errors = canvas[12:16, left : left + 5]
        wrong = np.argwhere((errors != 1).any(axis=2)).tolist()
        assert wrong == ([[0, 0], [1, 1]] if number == 0 else [])
    added, missing = canvas[12, 0], canvas[13, 1]
    assert missing[0] > missing[2]
    assert added[2] > added[0]


def test_the_title_counts_right_pixels(redrawn: tuple[np.ndarray, np.ndarray]) -> None:
    axes = plot_reconstructions(*redrawn).axes[0]
    assert axes.get_title(loc="left").startswith("pixels right in these 3: 96.67 %")
    assert [text.get_text() for text in axes.get_yticklabels()] == ["original", "redrawn", "errors"]


@pytest.mark.parametrize("count", [1, 2, 4, 7, 16, 40])
@pytest.mark.parametrize("shape", [(28, 28), (12, 30)])
def test_the_figure_is_as_large_as_its_pictures(count: int, shape: tuple[int, int]) -> None:
    """One picture does not make a tall figure, many do not make a flat one; the title is not cut off."""
    figure = plot_reconstructions(np.zeros((count, *shape)), np.ones((count, *shape)))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    width, height = figure.get_size_inches()
    drawn = axes.images[0].get_window_extent()
    assert 0.5 < drawn.width / figure.dpi / count < 1.2
    assert height - drawn.height / figure.dpi < 0.65
    assert width < max(3.1, 0.7 * count + 1.2)
    title = axes._left_title
    assert title.get_window_extent().x1 <= width * figure.dpi
    assert title.get_window_extent().y1 <= height * figure.dpi


@pytest.mark.parametrize("count", [1, 16])
def test_the_file_of_the_reconstructions_is_a_readable_picture(count: int, tmp_path: Path) -> None:
    originals = (np.random.default_rng(0).random((count, 28, 28)) < 0.3).astype(float)
    figure = plot_reconstructions(originals, 1 - originals, tmp_path / "reconstructions.png")
    with Image.open(tmp_path / "reconstructions.png") as picture:
        assert (picture.width, picture.height) == tuple(np.floor(figure.get_size_inches() * 150).astype(int))
        assert len(picture.convert("RGB").getcolors(2**24)) > 4
    assert "0.00 %" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("first", "second", "got"),
    [
        ((3, 4, 5), (2, 4, 5), r"\[3, 4, 5\] and \[2, 4, 5\]"),
        ((3, 1, 4, 5), (3, 1, 4, 5), r"\[3, 1, 4, 5\] and \[3, 1, 4, 5\]"),
    ],
)
def test_pictures_of_other_shapes_are_refused(first: tuple[int, ...], second: tuple[int, ...], got: str) -> None:
    message = rf"originals and reconstructions must be of one shape \[M, H, W\], got {got}; drop the channel axis"
    with pytest.raises(ValueError, match=message):
        plot_reconstructions(np.zeros(first), np.zeros(second))


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    """No pyplot, hence no figure left open and no backend chosen for the caller."""
    code = (
        "import sys, numpy as np\n"
        "from elegans_gnn.viz import plot_reconstructions\n"
        "plot_reconstructions(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), 'a.png')\n"
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False"]
    assert (tmp_path / "a.png").is_file()
