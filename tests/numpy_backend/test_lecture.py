"""The worked numbers of the lecture, computed by compiled networks."""

from __future__ import annotations

import numpy as np

from cnnspec.layers import Layer, Shape
from cnnspec.layers.convolution import Conv
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.numpy_backend import compile_graph
from tests.support.graphs import sequential

IMAGE = np.arange(9.0, dtype=np.float32).reshape(1, 1, 3, 3)
KERNEL = [[0, 1], [2, 3]]


def compute(layer: Layer, x: np.ndarray, weight: object = None) -> list[object]:
    shape: Shape = x.shape[1:]
    with compile_graph(*sequential(shape, layer), batch=1, training=False) as model:
        for name in model.weights:
            model.weights[name] = weight
        return model.forward(x)[0].tolist()


def test_convolution_gives_the_four_dot_products():
    conv = Conv(channels=1, kernel=2, bias=False)
    assert compute(conv, IMAGE, [[KERNEL]]) == [[[19, 25], [37, 43]]]


def test_convolution_when_image_is_padded_to_5x5_gives_4x4():
    conv = Conv(channels=1, kernel=2, padding=1, bias=False)
    # The inside is the unpadded result; a corner sees one pixel: 0*3, 2*2, 6*1, 8*0.
    # Top edge: 2*0 + 3*1, 2*1 + 3*2. Left: 1*0 + 3*3, 1*3 + 3*6. Right: 0*2 + 2*5, 0*5 + 2*8.
    # Bottom: 0*6 + 1*7, 0*7 + 1*8.
    expected = [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]
    assert compute(conv, IMAGE, [[KERNEL]]) == [expected]


def test_convolution_with_two_channels_gives_56_first():
    x = np.concatenate([IMAGE, IMAGE + 1], axis=1)
    conv = Conv(channels=1, kernel=2, bias=False)
    kernel = [KERNEL, [[1, 2], [3, 4]]]
    # 19 + (1*1 + 2*2 + 4*3 + 5*4) = 56, and likewise 25 + 47, 37 + 67, 43 + 77.
    assert compute(conv, x, [kernel]) == [[[56, 72], [104, 120]]]


def test_convolution_with_horizontal_stride_2_and_vertical_stride_3():
    # Two windows across, two down, on the 3x3 image padded to 5x5:
    # rows begin at 0 and 3, columns at 0 and 2.
    conv = Conv(channels=1, kernel=2, padding=1, stride=(3, 2), bias=False)
    assert compute(conv, IMAGE, [[KERNEL]]) == [[[0, 8], [6, 8]]]


def test_max_pooling_gives_4_5_7_8():
    assert compute(MaxPool(kernel=2, stride=1), IMAGE) == [[[4, 5], [7, 8]]]


def test_average_of_each_window():
    assert compute(AvgPool(kernel=2, stride=1), IMAGE) == [[[2, 3], [5, 6]]]
