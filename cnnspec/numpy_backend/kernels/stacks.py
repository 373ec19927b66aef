"""Products of a small matrix with many columns, as a stack of products that BLAS need not pack.

OpenBLAS copies both operands of a product into panels before it multiplies, unless rows x inner x columns is
at most 10^6 and the processor has kernels for such small products (those with AVX-512 have). A convolution of
few channels has a small matrix and many columns: cut into blocks of columns under that limit, LeNet's first
layer takes 0.7 times as long forward and half as long in the gradient of its weights (one core, 64 images:
1.6 beside 2.2 us an image, and 2.0 beside 4.1).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cnnspec.layers import Shape
from cnnspec.numpy_backend.blas import has_small_products
from cnnspec.numpy_backend.kernels.base import Array, Moment, Run, Scratch, add_product, multiplying

SMALL_PRODUCT: Final = 1_000_000
"""Multiply-accumulates up to which OpenBLAS multiplies without packing (its interface/gemm.c and kernels)."""
SHORTEST_BLOCK: Final = 512
"""Columns under which a block is not worth its call."""


def longest_block(matrix: Shape, shortest: int = SHORTEST_BLOCK) -> int:
    """The columns of a block for a matrix of this shape; 0 where products are better left whole."""
    if len(matrix) != 2 or not has_small_products():
        return 0
    rows, inner = matrix
    most = SMALL_PRODUCT // (rows * inner)
    return most if most >= shortest else 0


def equal_blocks(matrix: Shape, columns: int, shortest: int = SHORTEST_BLOCK) -> int:
    """Into how many equal blocks the columns are cut: the fewest that are short enough, or one."""
    most = longest_block(matrix, shortest)
    if most == 0 or columns <= most:
        return 1
    fewest = -(-columns // most)
    fitting = (k for k in range(fewest, columns // shortest + 1) if columns % k == 0)
    return next(fitting, 1)


def stack_scratch(matrix: Shape, columns: int) -> tuple[Scratch, ...]:
    """Memory for the products of all blocks, if an image has so many columns."""
    most = longest_block(matrix)
    if most == 0:
        return ()
    each = matrix[0] * matrix[1] * -(-columns // SHORTEST_BLOCK)
    return (Scratch("stack", (each,), "backward"),)


def multiplying_blocks(a: Array, b: Array, out: Array) -> Run:
    """Bind `out = a b`, by blocks of columns where that is faster."""
    count = equal_blocks(a.shape, b.shape[-1])
    if count == 1:
        return multiplying(a, b, out)
    stacked, into = _by_blocks(b, count), _by_blocks(out, count)

    def run() -> None:
        np.matmul(a, stacked, out=into)

    return run


def add_product_of_blocks(
    a: Array, b: Array, total: Array, spare: Array, stack: Array | None, moment: Moment | None
) -> Run:
    """As `add_product`, `total += a b^T`, by blocks of the columns of `a` and `b` where that is faster."""
    count = 1 if stack is None else equal_blocks(total.shape, a.shape[-1])
    if stack is None or count == 1:
        return add_product(a, b.swapaxes(-1, -2), total, spare, moment)
    left, right = _by_blocks(a, count), _by_blocks(b, count).swapaxes(-1, -2)
    products = stack.reshape(-1)[: count * total.size].reshape(count, *total.shape)

    def run() -> None:
        np.matmul(left, right, out=products)
        if moment is not None and moment.first:
            np.add.reduce(products, axis=0, out=total)
        else:
            np.add.reduce(products, axis=0, out=spare)
            np.add(total, spare, out=total)

    return run


def _by_blocks(matrix: Array, count: int) -> Array:
    """The matrix as a stack of its blocks of columns."""
    rows, columns = matrix.shape
    return matrix.reshape(rows, count, columns // count).swapaxes(0, 1)
