"""The input sizes that fit, against arithmetic by hand."""

import json
from pathlib import Path

import pytest

from cnnspec.cli.main import OK, main
from cnnspec.language.source import Source
from cnnspec.layers import AxisWindow
from cnnspec.layers.windows import output_size
from cnnspec.network.check import check_file, check_source
from cnnspec.network.solve import MOST_WORK, dropped, runs, sentences, solve

ROOT = Path(__file__).parent.parent.parent


def solved(*lines):
    graph, _ = check_source(Source("net.cnn", "\n".join(["network N {", *lines, "}"]))).network()
    return solve(graph)


def test_lenet_takes_multiples_of_four_from_twelve():
    """Both pools halve an even size: n and n / 2 - 4 even, and n / 2 - 4 at least 2."""
    graph, _ = check_file(ROOT / "specs" / "lenet.cnn").network()
    (solution,) = solve(graph)
    assert solution.sizes == (12, 16, 20, 24, 28, 32, 36, 40)
    assert sentences(solution) == [
        "`input` is 1x28x28; height = width tried from 1 to 42",
        "  28 (declared) fits: nothing is dropped, and every claim holds",
        "sizes that fit:",
        "  12 to 40 in steps of 4",
    ]


@pytest.mark.parametrize("name", ["vgg11", "vgg16"])
def test_vgg_takes_multiples_of_32(name):
    """Five pools of 2x2, and convolutions that keep the size."""
    graph, _ = check_file(ROOT / "specs" / f"{name}.cnn").network()
    (solution,) = solve(graph)
    assert solution.sizes == tuple(range(32, 337, 32))


def test_declared_size_that_drops_is_told():
    (solution,) = solved("input 1x29x29", "maxpool 2x2")
    assert solution.refusal.layer == "maxpool1"
    assert solution.refusal.reason == "its stride drops the last row of 1x29x29"
    assert sentences(solution)[1:3] == [
        "  29 (declared) does not fit: `maxpool1`: its stride drops the last row of 1x29x29",
        "  closest: 28 and 30",
    ]


def test_claim_of_a_vector_must_hold():
    """400 = 16 * 5 * 5 only where the map is 5x5, that is from 6x6 on a 2x2 kernel."""
    (solution,) = solved("input 1x6x6", "conv 16 2x2", "flatten : 400")
    assert solution.sizes == (6,)


def test_claim_of_a_map_holds_at_other_sizes():
    (solution,) = solved("input 1x6x6", "conv 16 2x2 : 16x5x5")
    assert solution.sizes == tuple(range(2, 10))


def test_axes_of_different_length_vary_alone():
    height, width = solved("input 1x8x12", "maxpool 2x4")
    assert (height.axes, height.sizes) == (("height",), (2, 4, 6, 8, 10, 12))
    assert (width.axes, width.sizes) == (("width",), (4, 8, 12, 16))


def test_inputs_of_equal_size_vary_together():
    (solution,) = solved(
        "input a 1x8x8", "p = conv 2 3x3", "input b 1x8x8", "conv 2 3x3", "add p", "maxpool 2x2"
    )
    assert (solution.inputs, solution.sizes) == (("a", "b"), (4, 6, 8, 10, 12))


def test_vector_has_no_size():
    assert solved("input 8", "dense 2") == ()


def test_large_inputs_are_tried_near_the_declared_size():
    (solution,) = solved("input 1x900000000", "conv 1 3 stride=2 padding=1")
    assert solution.least < 900_000_000 < solution.most
    assert solution.most - solution.least < MOST_WORK


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_dropped_is_what_no_window_covers(kernel, stride, padding):
    """By brute force: a window covers its own positions and the gap to the next one."""
    if padding >= kernel:
        return
    window = AxisWindow(kernel, stride, 1, padding, padding)
    for n in range(kernel, 25):
        outputs = output_size(n, window)
        covered = {p for output in range(outputs) for p in window.seen(output)}
        if stride > kernel:
            starts = [output * stride - padding for output in range(outputs)]
            covered |= {p for start in starts for p in range(start, start + stride)}
        assert dropped(window, n, outputs) == len(set(range(n)) - covered)


def test_runs_are_ranges_with_equal_steps():
    def words(*sizes):
        return [(run.first, run.last, run.step) for run in runs(sizes)]

    assert words() == []
    assert words(6) == [(6, 6, 1)]
    assert words(6848, 10944) == [(6848, 6848, 1), (10944, 10944, 1)]
    assert words(1, 2, 3, 4) == [(1, 4, 1)]
    assert words(12, 16, 20, 21) == [(12, 20, 4), (21, 21, 1)]
    assert words(63, 64, 65, 95, 96, 97) == [(63, 65, 1), (95, 97, 1)]


def test_command_prints_one_document(capsys):
    assert main(["check", str(ROOT / "specs" / "lenet.cnn"), "--solve", "input", "--json"]) == OK
    document = json.loads(capsys.readouterr().out)
    (solution,) = document["solutions"]
    assert solution["ranges"] == [{"first": 12, "last": 40, "step": 4}]
    assert (solution["declared"], solution["fits"], solution["refusal"]) == (28, True, None)
