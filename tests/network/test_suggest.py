"""What makes a wrong claim true: the least change of one option, and nothing where no single one does."""

import pytest

from cnnspec.language.source import Source
from cnnspec.network.check import check_source


def help_of(layer, claim, given="3x28x28"):
    text = f"network Net {{\n input {given}\n {layer} : {claim}\n}}\n"
    (finding,) = check_source(Source("net.cnn", text)).diagnostics
    assert finding.code == "wrong-claim"
    (help,) = finding.help
    return help


@pytest.mark.parametrize(
    ("layer", "claim", "fix"),
    [
        ("conv 6 5x5", "6x28x28", "padding=2"),
        ("conv 6 5x5 -> relu -> dropout", "6x28x28", "padding=2"),
        ("conv 6 5x5 padding=2", "6x24x24", "padding=0"),
        ("conv 6 5x3", "6x28x28", "padding=2x1"),
        ("conv 6 3x3 padding=1", "6x14x14", "stride=2"),
        ("conv 6 3x3 padding=1", "6x14x28", "stride=2x1"),
        ("conv 6 5x5", "6x26x26", "padding=1"),
        ("conv 6 3x3", "6x24x24", "conv 6 5x5"),
        ("conv 6 3x3", "8x26x26", "conv 8 3x3"),
        ("depthwise 3x3", "3x28x28", "padding=1"),
        ("maxpool 2x2", "3x9x9", "stride=3"),
        ("maxpool 2x2", "3x15x15", "padding=1"),
        ("maxpool 3x3 stride=1", "3x28x28", "padding=1"),
        ("conv_transpose 6 3x3 stride=2 padding=1", "6x56x56", "output_padding=1"),
        ("dense 10", "11", "dense 11"),
    ],
)
def test_claim_is_made_true_by_one_option(layer, claim, fix):
    help = help_of(layer, claim)
    assert help.endswith(f": `{fix}` gives {claim}")
    first = layer.partition(" -> ")[0]
    mended = fix if fix.startswith(first.split()[0]) else f"{without(first, fix)} {fix}"
    text = f"network Net {{\n input 3x28x28\n {mended} : {claim}\n}}\n"
    assert check_source(Source("net.cnn", text)).ok


def without(layer, fix):
    """The layer without the option that is given anew."""
    return " ".join(word for word in layer.split() if not word.startswith(fix.partition("=")[0] + "="))


@pytest.mark.parametrize(
    ("layer", "claim"),
    [
        ("conv 6 5x5", "8x28x28"),  # channels and sizes
        ("conv 6 5x5", "6x99x99"),
        ("conv 6 5x5", "6x28"),
        ("conv 6 5x5", "7"),
        ("conv 6 3x3", "6x34x34"),  # a padding of 4 under a kernel of 3
        ("dense 10", "3x28x28"),
        ("flatten", "100"),
    ],
)
def test_nothing_is_suggested_where_no_single_option_helps(layer, claim):
    assert "gives" not in help_of(layer, claim)


def test_sizes_of_any_number_are_answered_at_once():
    assert "gives" not in help_of("conv 6 3x3", "6x1000000000x28", given="3x1000000x28")
