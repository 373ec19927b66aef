"""What the memory of a plan is for: weights, gradients, activations that are kept, and scratch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnspec.layers import product
from cnnspec.numpy_backend.memory import aligned

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.network.graph import LayerFacts
    from cnnspec.numpy_backend.kernels.base import Kernel
    from cnnspec.numpy_backend.plan import Plan


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of one node whatever the batch, in elements.

    Beside its weights and their gradients what is prepared from the weights once a step.
    """

    weights: int
    gradients: int
    prepared: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.prepared


def standing(layer: LayerFacts, kernel: Kernel[Layer], workers: int, training: bool) -> Standing:
    """What a node needs whatever the batch. The first worker's sums are the gradients where they can be."""
    sums = kernel.sums()
    apart = sum(weight.size for weight in layer.weights if weight.learned and weight.name not in sums)
    folded = sum(weight.size for weight in kernel.weights) if kernel.absorbed else 0
    return Standing(
        weights=sum(weight.size for weight in layer.weights),
        gradients=workers * sum(map(product, sums.values())) + apart if training else 0,
        prepared=sum(map(product, kernel.shared().values())) + folded,
    )


@dataclass(frozen=True, slots=True)
class Account:
    """The bytes of a plan by what they are for.

    Attributes:
        weights: parameters and running statistics.
        gradients: the sums of every worker, one number for each trained parameter or somewhat more.
        activations: what the forward pass leaves for the backward pass, of the images at work at a time.
        scratch: all else: gradients of activations, the kernels' own buffers, weights in another layout.
    """

    weights: int
    gradients: int
    activations: int
    scratch: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.activations + self.scratch


def account(plan: Plan) -> Account:
    """What the memory of a plan is for; the sum is `plan.total_bytes`."""
    item = plan.dtype.itemsize
    nodes = [
        standing(layer, kernel, plan.workers, plan.training)
        for layer, kernel in zip(plan.facts.layers, plan.kernels, strict=True)
    ]
    weights, gradients = (sum(getattr(n, part) for n in nodes) * item for part in ("weights", "gradients"))
    activations = plan.arenas * _kept(plan) if plan.training else 0
    return Account(weights, gradients, activations, plan.total_bytes - weights - gradients - activations)


def _kept(plan: Plan) -> int:
    """Bytes of one piece's values and scratch that are alive when the backward pass begins."""
    turn, buffers = len(plan.kernels), plan.buffers
    scratch = (index for node in buffers.scratch for index in node.values())
    kept = [buffers.all[index] for index in {*buffers.values, *scratch}]
    alive = [buffer for buffer in kept if buffer.first <= turn <= buffer.last]
    return sum(aligned(buffer.size(plan.micro_batch, plan.dtype.itemsize)) for buffer in alive)
