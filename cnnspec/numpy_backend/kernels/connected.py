"""The kernel of a convolution with a table of connections: a full one whose missing kernels are zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cnnspec.layers import Shape, Weight
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend.kernels.base import Array, Kernel, Layout, Margin, Run, Scratch, Site, kernel_class


class ConnectedConvKernel(Kernel[Conv]):
    """Spreads the weight, one kernel for each connection, into that of a full convolution, and computes that.

    The gradient of the full weight is gathered at the connections; the rest of it is thrown away.
    """

    reads_margin = True

    def __init__(
        self, layer: Conv, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        full = layer.replaced(connections=None)
        shape = inputs[0].shape
        self.full = kernel_class(Conv)(full, inputs, output, full.weights(shape))
        self.full_shape = self.full.weights[0].shape
        assert layer.connections is not None
        self.places = np.array([o * shape[0] + c for o, c in layer.connections.pairs])
        self.keeps_input, self.keeps_output = self.full.keeps_input, self.full.keeps_output
        self.algorithm = self.full.algorithm
        self.why = f"{len(self.places)} of {self.full_shape[0] * shape[0]} kernels, the others zeros"

    @classmethod
    def margin(cls, layer: Conv, shape: Shape) -> Margin:
        """The margin of the full convolution."""
        return kernel_class(Conv).margin(layer.replaced(connections=None), shape)

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """Whether the full convolution gains by it."""
        return kernel_class(Conv).writes_tiles(layer.replaced(connections=None), shape, tile)

    def scratch(self) -> tuple[Scratch, ...]:
        """That of the full convolution."""
        return self.full.scratch()

    def shared(self) -> dict[str, Shape]:
        """The full weight, beside what the full convolution makes of it."""
        return {"full weight": self.full_shape, **self.full.shared()}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run | None:
        """Fill the full weight, whose other kernels are zeros from the start, and what is made of it."""
        kernels = self._kernels(shared["full weight"])
        weight, places = weights["weight"], self.places
        then = self.full.prepare({**weights, "weight": shared["full weight"]}, _without(shared))

        def run() -> None:
            kernels[places] = weight
            if then is not None:
                then()

        return run

    def sums(self) -> dict[str, Shape]:
        """Those of the full convolution, and the gradient of the full weight."""
        sums = {name: shape for name, shape in self.full.sums().items() if name != "weight"}
        return {"full weight": self.full_shape, **sums}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run | None:
        """Gather the gradient at the connections."""
        full = sums["full weight"]
        first = self.full.fold({**sums, "weight": full}, {**gradients, "weight": full})
        kernels, gradient, places = self._kernels(full), gradients["weight"], self.places

        def run() -> None:
            if first is not None:
                first()
            np.take(kernels, places, axis=0, out=gradient, mode="clip")  # any other mode copies

        return run

    def forward(self, at: Site) -> Run:
        """The full convolution's."""
        return self.full.forward(self._full_site(at))

    def backward(self, at: Site) -> Run:
        """The full convolution's."""
        return self.full.backward(self._full_site(at))

    def _full_site(self, at: Site) -> Site:
        return replace(
            at,
            weights={**at.weights, "weight": at.shared["full weight"]},
            shared=_without(at.shared),
            sums={**at.sums, "weight": at.sums["full weight"]} if at.sums else at.sums,
        )

    def _kernels(self, full: Array) -> Array:
        """The full weight as one kernel after the other: `(out * in, kh, kw)`."""
        return full.reshape(-1, *self.full_shape[2:])


def _without(shared: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in shared.items() if name != "full weight"}
