"""Kernels that compute nothing."""

from __future__ import annotations

from cnnspec.layers import Layer
from cnnspec.layers.shapes import Flatten, Input, Reshape
from cnnspec.numpy_backend.kernels.base import Kernel, Run, Scratch, Site, computes, nothing


@computes(Input)
class InputKernel(Kernel[Input]):
    """The network's input; the program loads it."""

    writes_margin = True
    algorithm = "transpose"
    why = "images innermost"

    def scratch(self) -> tuple[Scratch, ...]:
        """Rows gathered from a data set, images still first."""
        return (Scratch("staging", self.output.shape, "forward"),)

    def forward(self, at: Site) -> Run:
        """Nothing to do."""
        return nothing

    def backward(self, at: Site) -> Run:
        """Nothing to do: the gradient of its output is the network's input gradient."""
        return nothing


@computes(Flatten, Reshape)
class ViewKernel(Kernel[Layer]):
    """The same elements under another shape: the same memory, read otherwise."""

    view = True
    algorithm = "view"

    def forward(self, at: Site) -> Run:
        """Nothing to do."""
        return nothing

    def backward(self, at: Site) -> Run:
        """Nothing to do."""
        return nothing
