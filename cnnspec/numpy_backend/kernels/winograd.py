"""Winograd's convolution: kernels of 3x3, stride 1, with 2.25 or 4 times fewer multiplications.

The outputs are computed in tiles of `m x m` from overlapping tiles of `k x k` inputs, `k = m + 2`, by
F(m x m, 3 x 3) of cook_toom.py. Summed over the channels, its element-wise products become `k * k` matrix
products over all tiles and images `t` (Lavin & Gray 2015, arXiv:1509.09308):

    U_oc = G W_oc G^T      V_ct = B^T d_ct B      M = U V for each place      Y_ot = A^T M_ot A

The gradients, in the same domain:

    dM_ot = A dY_ot A^T                           dU = dM V^T for each place  dW_oc = G^T dU_oc G

and the gradient of the input is the convolution of `dY` by the kernel turned round, with inputs and outputs
exchanged. Its U is the transpose of the one above where d and Y are read backward (`Filtering.reversed`), so
there is but one. dU is as large as U, 1.8 or 4 times the weight: it is made for some output channels at a
time and turned into dW at once, so that it is never there as a whole.

Rounding: in float32 and relative to the largest number, outputs and gradients are off by about as much as
those of a direct sum with F(2x2), at most 1e-6, and by 3 to 5 times as much with F(4x4), at most 5e-6, for 4
to 512 channels. In float64 both are exact to 1e-12. Through a whole step of ResNet-18 the gradients are off
by 8e-6 and 2e-5 of the largest of each weight, with patches by 7e-6. A ReLU or a max pooling may decide on
such a difference: where a number is within rounding of 0, its gradient is there or not, by any algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final

import numpy as np

from cnnspec.layers import Shape, Weight, product
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Layout,
    Member,
    Run,
    Scratch,
    Site,
    Work,
    add_product,
    add_rows,
    far,
    in_parts,
    in_turn,
    multiplying,
    nothing,
    strided,
)
from cnnspec.numpy_backend.kernels.cook_toom import POINTS, filtering
from cnnspec.numpy_backend.kernels.windows import within
from cnnspec.numpy_backend.kernels.winograd_tiles import (
    CHUNK,
    Block,
    Cut,
    Lay,
    Map,
    block_columns,
    blocks,
)

TAPS: Final = 3
TRANSFORMED: Final = 1 << 20
"""Elements of dU that are there at a time: 4 MiB of float32."""


class WinogradKernel(Kernel[Conv]):
    """`y_o(p) = sum_(c,i) W_(o,c,i) x_c(p + i - before) + b_o` for `i` in 3x3, by tiles of `tile x tile`."""

    reads_margin = True
    keeps_input = True
    folds = True
    finishes = True
    pads_in_passing = True
    tile: ClassVar[int]

    def __init__(
        self, layer: Conv, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        windows = layer.window(inputs[0].shape)
        self.before = tuple(window.before for window in windows)
        self.after_turning = tuple(TAPS - 1 - window.before for window in windows)
        self.filtering = filtering(self.tile, TAPS, POINTS[self.tile])
        self.places = self.tile + TAPS - 1
        self.outputs_at_once = (self.tile, self.tile)
        self.algorithm = f"Winograd F({self.tile}x{self.tile}, 3x3)"
        self.why = f"{self.places**2} products {layer.channels}x{inputs[0].shape[0]}"

    @classmethod
    def suits(cls, layer: Conv, inputs: tuple[Shape, ...]) -> bool:
        """Whether this use of the layer can be computed so: 3x3, one step at a time, all channels seen."""
        plain = layer.groups == 1 and layer.connections is None
        windows = layer.window(inputs[0])
        simple = all((w.kernel, w.stride, w.dilation) == (TAPS, 1, 1) for w in windows)
        return plain and simple and len(windows) == 2

    @classmethod
    def work(cls, layer: Conv, inputs: tuple[Shape, ...], tile: Shape, images: int) -> Work:
        """A product for each place of a tile, and both transforms."""
        channels = inputs[0][0]
        outputs = layer.infer(inputs[0])[1:]
        tiles = product(tuple(math.ceil(n / cls.tile) for n in outputs))
        places = (cls.tile + TAPS - 1) ** 2
        return Work(
            multiplied=places * layer.channels * channels * tiles * images,
            cut=places * channels * tiles * images,
            laid=places * layer.channels * tiles * images,
            short=places * (channels + layer.channels) * tiles,
            far=far(inputs[0], (layer.channels, *outputs), images=images),
            weights=places * layer.channels * channels,
            strided=0.0
            if cls.writes_tiles(layer, inputs[0], tile)
            else strided((layer.channels, *outputs), images),
        )

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """Whether its own tiles are made of such tiles: then it costs nothing."""
        return all(cls.tile % side == 0 for side in tile)

    @classmethod
    def takes_shift(cls, layer: Conv, inputs: tuple[Shape, ...]) -> bool:
        """Where no output sees the zeros around the map."""
        return within(layer.window(*inputs))

    def scratch(self) -> tuple[Scratch, ...]:
        """Values and products of a block, two chunks, and dU and dW of some channels."""
        most, some = self._rows * self._columns, self._outputs_together * self.inputs[0].shape[0]
        needed = [
            Scratch("tiles", self._values(self.output), "forward", at_most=most, common=not self._many_tiles),
            Scratch("chunks", (2, CHUNK), "forward", per_image=False),
            Scratch("tiles again", self._values(self.output, *self.inputs), "backward", at_most=most),
            Scratch("chunks again", (2, CHUNK), "backward", per_image=False),
            Scratch("transformed", (self.places**2 * some,), "backward", per_image=False),
            Scratch("spare", (TAPS * TAPS * some,), "backward", per_image=False),
        ]
        if self.layer.bias:
            needed.append(Scratch("spare rows", self._rows_of_outputs, "backward", per_image=False))
        return tuple(needed)

    # --- the weight -------------------------------------------------------------------------------------

    def shared(self) -> dict[str, Shape]:
        """U."""
        return {"transformed": self._products}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run:
        """Bind `U = G W G^T`."""
        weight, transformed = weights["weight"], shared["transformed"]
        return multiplying(self._nested_taps(weight), _kernels_last(weight), _places_first(transformed))

    def sums(self) -> dict[str, Shape]:
        """The gradients of the weight, and of the bias for each place of a tile of the output."""
        rows = {"rows": self._rows_of_outputs} if self.layer.bias else {}
        return {"weight": self.weights[0].shape, **rows}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run | None:
        """Sum the gradients of the bias over the places of a tile."""
        if not self.layer.bias:
            return None
        rows, bias = sums["rows"].reshape(-1, self.layer.channels), gradients["bias"]

        def run() -> None:
            np.add.reduce(rows, axis=0, out=bias)

        return run

    def _nested_taps(self, like: Array) -> Array:
        """G for both axes at once: `(k * k) x 9`."""
        return np.kron(self.filtering.taps, self.filtering.taps).astype(like.dtype)

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """Block by block cut tiles, multiply, lay tiles."""
        y = Map(at.y, self.output.tile)
        return self._forward(at, y, self._blocks(y))

    def _forward(self, at: Site, y: Map, some: list[Block]) -> Run:
        memory = at.scratch["tiles"], at.scratch["chunks"]
        transforms = self._transforms(at)
        return self._convolving(Map(at.x[0]), at.shared["transformed"], y, transforms, memory, some)

    def _transforms(self, at: Site) -> tuple[Cut, Lay]:
        cut = Cut(self.filtering.inputs.astype(at.y.dtype), self.tile, self.before)
        return cut, Lay(self.filtering.outputs.astype(at.y.dtype), at.weights.get("bias"), self.finish)

    def _convolving(
        self,
        x: Map,
        transformed: Array,
        y: Map,
        transforms: tuple[Cut, Lay],
        scratch: tuple[Array, Array],
        some: list[Block],
    ) -> Run:
        (cut, lay), (memory, chunks), runs = transforms, scratch, []
        for block in some:
            values, products = self._within(memory, block, x.channels, y.channels)
            runs += [
                cut.run(x, block, values, chunks),
                multiplying(transformed, _stacked(values), _stacked(products)),
                lay.run(products, block, y, chunks),
            ]
        return in_turn(runs)

    # --- forward, in a team -----------------------------------------------------------------------------

    @property
    def _many_tiles(self) -> bool:
        """Whether an image has so many tiles that every member may read all of U for its share of them."""
        tiles = product(self._tiles(self.output.shape[1:]))
        return tiles >= max(self.layer.channels, self.inputs[0].shape[0])

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some tiles; or block by block some channels of the map, then some places, then some outputs."""
        y = Map(at.y, self.output.tile)
        if self._many_tiles:
            rows = member.share(self._tiles(y.sizes)[0])
            return [self._forward(at, y, self._blocks(y, rows)) if rows.start < rows.stop else nothing]
        return [run for block in self._blocks(y) for run in self._together(at, y, block, member)]

    def _together(self, at: Site, y: Map, block: Block, member: Member) -> list[Run]:
        """Bind a member's share of the three phases of a block."""
        x, (cut, lay) = Map(at.x[0]), self._transforms(at)
        values, products = self._within(at.scratch["tiles"], block, x.channels, y.channels)
        channels, outputs = member.share(x.channels), member.share(y.channels)
        places, chunks = member.share(self.places**2), at.scratch["chunks"]
        left, right = at.shared["transformed"][places], _stacked(values)[places]
        mine = lay if lay.bias is None else replace(lay, bias=lay.bias[outputs])
        phases = [nothing] * 3
        if channels.start < channels.stop:
            phases[0] = cut.run(x.of_channels(channels), block, values[:, :, channels], chunks)
        if places.start < places.stop:
            phases[1] = multiplying(left, right, _stacked(products)[places])
        if outputs.start < outputs.stop:
            phases[2] = mine.run(products[:, :, outputs], block, y.of_channels(outputs), chunks)
        return phases

    # --- backward ---------------------------------------------------------------------------------------

    def backward(self, at: Site) -> Run:
        """`dU` block by block and `dW` from it, `db`, and `dx` as a convolution."""
        runs = self._adding_weight(at)
        if self.layer.bias:
            rows = at.dy.reshape(*self._rows_of_outputs, -1)
            runs.append(add_rows(rows, at.sums["rows"], at.scratch["spare rows"], at.moment))
        if at.dx[0] is not None:
            runs.append(self._turned(at, at.dx[0]))
        return in_turn(runs)

    def _adding_weight(self, at: Site) -> list[Run]:
        """Bind `dU = dM V^T` and `dW += G^T dU G`, block by block and some output channels at a time."""
        x, dy, chunks, runs = Map(at.x[0]), Map(at.dy, self.output.tile), at.scratch["chunks again"], []
        cut = Cut(self.filtering.inputs.astype(at.dy.dtype), self.tile, self.before)
        cut_dy = Cut(self.filtering.outputs.T.astype(at.dy.dtype), self.tile, (0, 0))
        taps = self._nested_taps(at.dy)
        for i, block in enumerate(self._blocks(dy)):
            values, dproducts = self._within(at.scratch["tiles again"], block, x.channels, dy.channels)
            runs += [cut.run(x, block, values, chunks), cut_dy.run(dy, block, dproducts, chunks)]
            left, right = _stacked(dproducts), _stacked(values).swapaxes(-1, -2)
            for some in in_parts(slice(0, self.layer.channels), self._outputs_together):
                total = at.sums["weight"][some].reshape(-1, TAPS * TAPS)
                transformed, spare = self._transformed(at, len(total))
                runs.append(multiplying(left[:, some], right, transformed))
                # the first block of a worker's first piece begins the sum
                begin = None if i else at.moment
                runs.append(add_product(_places_first(transformed).T, taps, total, spare, begin))
        return runs

    def _transformed(self, at: Site, kernels: int) -> tuple[Array, Array]:
        """Memory for dU `(k * k, O, C)` and dW `(O * C) x 9` of so many kernels `O * C`."""
        shape = (self.places**2, -1, self.inputs[0].shape[0])
        transformed = at.scratch["transformed"][: self.places**2 * kernels].reshape(shape)
        return transformed, at.scratch["spare"][: TAPS * TAPS * kernels].reshape(kernels, -1)

    def _turned(self, at: Site, dx: Array) -> Run:
        """Bind the convolution of `dy` by the kernel turned round."""
        matrices = self.filtering.reversed
        cut = Cut(matrices.inputs.astype(dx.dtype), self.tile, self.after_turning)
        lay = Lay(matrices.outputs.astype(dx.dtype))
        transposed = at.shared["transformed"].swapaxes(-1, -2)
        memory = at.scratch["tiles again"], at.scratch["chunks again"]
        dy, y = Map(at.dy, self.output.tile), Map(dx)
        return self._convolving(dy, transposed, y, (cut, lay), memory, self._blocks(y))

    # --- arrays -----------------------------------------------------------------------------------------

    @property
    def _products(self) -> Shape:
        """The shape of U: one matrix for every place of a tile."""
        return (self.places**2, self.layer.channels, self.inputs[0].shape[0])

    @property
    def _outputs_together(self) -> int:
        """Output channels whose dU is there at a time."""
        outputs, channels = self._products[1:]
        return min(max(TRANSFORMED // (self.places**2 * channels), 1), outputs)

    def _values(self, *layouts: Layout) -> Shape:
        """Values and products of one image, of the largest of these maps."""
        tiles = (product(tuple(-(-n // self.tile) for n in layout.shape[1:])) for layout in layouts)
        return (self._rows * max(tiles),)

    @property
    def _rows(self) -> int:
        return self.places**2 * (self.layer.channels + self.inputs[0].shape[0])

    @property
    def _columns(self) -> int:
        return block_columns(self._rows)

    @property
    def _rows_of_outputs(self) -> Shape:
        """Output channels, once for each place of a tile in which outputs lie."""
        return (product(self.output.tile) * self.layer.channels,)

    def _tiles(self, sizes: Shape) -> Shape:
        """The tiles that cover a map."""
        return tuple(math.ceil(size / self.tile) for size in sizes)

    def _blocks(self, y: Map, rows: slice | None = None) -> list[Block]:
        """The blocks of tiles that cover a map, or some rows of them."""
        down, along = self._tiles(y.sizes)
        return blocks(rows or slice(0, down), along, y.images, self._columns)

    def _within(self, memory: Array, block: Block, inner: int, outer: int) -> tuple[Array, Array]:
        """Memory for the values `(k, k, C, T)` and the products `(k, k, O, T)` of a block."""
        k, columns = self.places, math.prod(block.shape)
        values = memory[: k * k * inner * columns]
        products = memory[values.size : values.size + k * k * outer * columns]
        return values.reshape(k, k, inner, columns), products.reshape(k, k, outer, columns)


class WinogradF2(WinogradKernel):
    """F(2x2, 3x3): 2.25 times fewer multiplications, and the rounding of a direct sum."""

    name = priced_as = "winograd-2x2"
    tile = 2


class WinogradF4(WinogradKernel):
    """F(4x4, 3x3): 4 times fewer multiplications, and 3 to 5 times the rounding of a direct sum."""

    name = priced_as = "winograd-4x4"
    tile = 4


def _stacked(values: Array) -> Array:
    """`(k, k, C, T)` as one matrix for every place of a tile: `(k * k, C, T)`."""
    return values.reshape(-1, *values.shape[2:])


def _kernels_last(weight: Array) -> Array:
    """`(O, C, 3, 3)` seen as `9 x (O * C)`."""
    return weight.reshape(-1, TAPS * TAPS).T


def _places_first(transformed: Array) -> Array:
    """`(k * k, O, C)` as `(k * k) x (O * C)`."""
    return transformed.reshape(len(transformed), -1)
