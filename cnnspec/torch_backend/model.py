"""A network in PyTorch, with the functions that training asks of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cnnspec.bridges.torch import Network, to_module
from cnnspec.layers import product
from cnnspec.numpy_backend.kernels.losses import LossKernel, loss_kernel
from cnnspec.numpy_backend.model import BatchResult
from cnnspec.numpy_backend.plan import logits_of, make_plan
from cnnspec.numpy_backend.ports import Arrays, Given, Ports
from cnnspec.torch_backend.losses import among_five, distances, right_answers, summed_loss
from cnnspec.torch_backend.placement import Placement
from cnnspec.torch_backend.processes import watched
from cnnspec.torch_backend.storage import Storage, TensorWeights
from cnnspec.torch_backend.synchronized import synchronize
from cnnspec.training.crew import Crew, WorkerLost
from cnnspec.training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe.learning import Loss

    Array = NDArray[np.float32]
    Tensors = tuple[torch.Tensor, ...]

FLOAT: Final = np.dtype(np.float32)
BUFFERS: Final = ("forward_sync_buffers", "broadcast_buffers")
OWN_BUFFERS: Final[dict[str, Any]] = {
    next(name for name in BUFFERS if name in signature(DistributedDataParallel).parameters): False
}
"""The option by which processes keep their running statistics, which are the same in all; newer versions of
PyTorch call it otherwise."""
SHARE_OF_GPU: Final = 4
"""Samples in memory stay on a GPU where they take no more than one part in so many of what it has left."""


@dataclass(frozen=True)
class TorchPlan:
    """What is known of a model before it is made; the fields that a plan of the NumPy backend has as well."""

    graph: Graph
    facts: Facts
    batch: int
    loss: Loss | None
    training: bool = True
    dtype: np.dtype[np.float32] = FLOAT

    @property
    def logits(self) -> int:
        """The node whose values a loss reads."""
        return logits_of(self.graph, self.loss)

    @property
    def loss_kernel(self) -> LossKernel | None:
        """What the loss takes for targets, and how it weights them."""
        return loss_kernel(self.loss, self.facts.shape(self.logits)) if self.loss else None

    @property
    def bytes_by_node(self) -> dict[str, int]:
        """What PyTorch keeps because of each node: weights, activations of a whole batch, and gradients."""
        each = [2 * sum(w.size for w in one.weights) for one in self.facts.layers]
        values = [2 * self.batch * product(self.facts.shape(i)) for i in range(len(each))]
        names = (node.name for node in self.graph.nodes)
        return {n: FLOAT.itemsize * (w + v) for n, w, v in zip(names, each, values, strict=True)}

    @property
    def total_bytes(self) -> int:
        """All of them; an estimate, for PyTorch takes what it needs when it needs it."""
        return sum(self.bytes_by_node.values())

    @property
    def fewest_images(self) -> tuple[int, str]:
        """The smallest batch that can be trained on, and the layer that needs so many images."""
        return make_plan(self.graph, self.facts, batch=2, workers=1, micro_batch=1).fewest_images


@dataclass(frozen=True)
class _Sums:
    """Of a share of a batch, and of a whole one."""

    loss: float
    correct: float
    count: int
    weight: float


class TorchModel:
    """An executable network. Arrays are `N x C x H x W`, weights have the layouts that the layers declare.

    Where several processes share every batch, each gives `loss_and_gradients` the samples of its own share,
    and has the figures and the gradients of the whole batch from it. All else is about what a process is
    given.
    """

    def __init__(self, plan: TorchPlan, placement: Placement, crew: Crew, seed: int) -> None:
        self.plan, self.placement, self.crew = plan, placement, crew
        self.step = 0
        self.scaler = placement.scaler()
        self.inputs = Ports.inputs(plan.graph, plan.facts)
        self.outputs = Ports.outputs(plan.graph, plan.facts)
        self._seed = seed
        self._loss = plan.loss_kernel
        self._kept: tuple[Tensors, Tensors] | None = None
        self._on_gpu: list[tuple[Array, torch.Tensor]] = []
        self._storage = Storage(plan.graph, plan.facts, placement)
        self._network = self._made()
        self._drops = any(isinstance(one, nn.Dropout) for one in self._network.modules())
        self._learner = self._shared() if crew.size > 1 else self._network

    def _made(self) -> Network:
        graph, facts = self.plan.graph, self.plan.facts
        zeros = {
            f"{node.name}.{weight.name}": np.zeros(weight.shape, np.float32)
            for node, layer in zip(graph.nodes, facts.layers, strict=True)
            for weight in layer.weights
        }
        network = to_module(graph, facts, zeros).to(self.placement.device)
        if self.crew.size > 1:
            synchronize(network)
        self._storage.adopt(network, graph, facts)
        return network

    def _shared(self) -> nn.Module:
        """The network whose gradients are the means over all processes."""
        self._leave_out_what_leads_nowhere()
        if not any(parameter.requires_grad for parameter in self._network.parameters()):
            return self._network
        devices = [self.placement.device] if self.placement.is_gpu else None
        with watched():
            return DistributedDataParallel(self._network, device_ids=devices, **OWN_BUFFERS)

    def _leave_out_what_leads_nowhere(self) -> None:
        """Ask for no gradients of layers that the loss does not depend on: the others would wait for them."""
        reached, pending = set[int](), [self.plan.logits]
        while pending:
            node = pending.pop()
            if node not in reached:
                reached.add(node)
                pending += self.plan.graph.nodes[node].inputs
        for index, step in enumerate(self._network.steps):
            if index not in reached:
                step.module.requires_grad_(False)

    # --- weights ----------------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """The memory of weights and gradients."""
        return self._storage

    @property
    def weights(self) -> TensorWeights:
        """The weights by name, `conv1.weight`; assigning copies into place."""
        return TensorWeights(self._storage.named())

    @property
    def gradients(self) -> Mapping[str, Array]:
        """The gradients of the last batch, by the names of the weights."""
        parts = self._storage.learned(self._storage.gradients)
        return {name: part.numpy(force=True) for name, part in parts.items()}

    # --- running ----------------------------------------------------------------------------------------

    def forward(self, x: Given, training: bool = False) -> Array | Arrays:
        """The output for `N x C x H x W` samples; with `training`, dropout drops and `backward` may follow.

        Raises:
            ValueError: `x` has another shape.
        """
        if not training:
            return self.predict(x)
        inputs = tuple(self.placement.moved(array) for array in self.inputs.samples(x, "x"))
        self._begin_step()
        for tensor in inputs:
            tensor.requires_grad_(tensor.is_floating_point())
        outputs = self._run(self._network, inputs, self.plan.graph.outputs)
        self._kept = inputs, outputs
        return self.outputs.given_back(tuple(map(_array, outputs)))

    def backward(self, dy: Given) -> Array | Arrays:
        """The input's gradient from the output's, after `forward(x, training=True)`; fills `gradients`.

        Raises:
            ValueError: no such `forward` came before, or `dy` has another shape.
        """
        if self._kept is None:
            raise ValueError("backward needs a forward(x, training=True) before it")
        (inputs, outputs), self._kept = self._kept, None
        given = self.outputs.exactly(len(outputs[0]), dy, "dy")
        torch.autograd.backward(outputs, [self.placement.moved(array) for array in given])
        gradients = [torch.zeros_like(x) if x.grad is None else x.grad for x in inputs]
        return self.inputs.given_back(tuple(map(_array, gradients)))

    def predict(self, x: Given) -> Array | Arrays:
        """The output for any number of samples.

        Raises:
            ValueError: `x` has another shape.
            TrainingError: a GPU has too little memory.
        """
        arrays = self.inputs.samples(x, "x")
        with self._enough_memory():
            pieces = [
                tuple(map(_array, self._run(self._network, piece, self.plan.graph.outputs)))
                for piece in self._pieces(arrays)
            ]
        return self.outputs.given_back(tuple(np.concatenate(each) for each in zip(*pieces, strict=True)))

    def loss_and_gradients(
        self, x: Given, labels: NDArray[np.number], indices: NDArray[np.integer] | None = None
    ) -> BatchResult:
        """The mean loss of a batch; fills `gradients` with those of this mean.

        With `indices`, the batch is these rows of `x` and `labels`.

        Raises:
            ValueError: shapes do not fit, or a label is no class.
            TrainingError: a GPU has too little memory.
            WorkerLost: another process is gone; weights and state are those before this call.
        """
        kernel, loss = self._need_loss()
        arrays = self.inputs.samples(x, "x")
        targets = kernel.targets(labels, len(arrays[0]))
        targets = _checked(targets if indices is None else targets[indices], kernel)
        before = self._storage.state.clone() if self.crew.size > 1 else None
        self._begin_step()
        try:
            with self._enough_memory(), watched():
                inputs = tuple(self._rows(array, indices) for array in arrays)
                (z,) = self._run(self._learner, inputs, (self.plan.logits,))
                t = self.placement.moved(targets)
                whole = summed_loss(loss, z, t)
                self.scaler.scale(whole * (self.crew.size / self.plan.batch)).backward()  # type: ignore[no-untyped-call]
                own = torch.stack([whole.detach().double(), right_answers(loss, z, t).double()]).tolist()
            sums = self.crew.total(_Sums(own[0], own[1], len(targets), float(kernel.weight(targets))))
        except WorkerLost:
            assert before is not None
            self._storage.state.copy_(before)
            self.step -= 1
            raise
        if sums.weight != self.plan.batch:
            self._storage.gradients.mul_(self.plan.batch / (sums.weight or 1.0))
        return BatchResult(sums.loss / (sums.weight or 1.0), sums.correct, sums.count, sums.weight)

    def evaluate(self, x: Given, labels: NDArray[np.number]) -> BatchResult:
        """The mean loss over any number of samples, none included, without gradients.

        Raises:
            ValueError: shapes do not fit, or a label is no class.
            TrainingError: a GPU has too little memory.
        """
        kernel, loss = self._need_loss()
        if not len(labels):
            return BatchResult(0.0, 0, 0)
        arrays = self.inputs.samples(x, "x")
        targets = _checked(kernel.targets(labels, len(arrays[0])), kernel)
        weight, first = float(kernel.weight(targets)), 0
        sums = torch.zeros(5, dtype=torch.float64, device=self.placement.device)
        with self._enough_memory():
            for piece in self._pieces(arrays):
                count = len(piece[0])
                t = self.placement.moved(targets[first : first + count])
                (z,) = self._run(self._network, piece, (self.plan.logits,))
                far = distances(loss, z, t)
                found = (summed_loss(loss, z, t), right_answers(loss, z, t), among_five(loss, z, t), *far)
                sums += torch.stack([one.detach().double() for one in found])
                first += count
        total, correct, top5, absolute, squared = sums.tolist()
        loss_of_all = total / (weight or 1.0)
        return BatchResult(loss_of_all, correct, len(targets), weight, top5, absolute, squared)

    def close(self) -> None:
        """Let go of what is kept for later calls."""
        self._kept = None
        self._on_gpu.clear()

    # --- parts ------------------------------------------------------------------------------------------

    def _begin_step(self) -> None:
        """Gradients of zero, and chance that follows from seed, step and process alone."""
        self.step += 1
        self._kept = None
        self._network.train()
        self._storage.gradients.zero_()
        if self._drops:
            words = np.random.SeedSequence([self._seed, self.step, self.crew.rank]).generate_state(2)
            torch.manual_seed(int(words[0]) << 31 ^ int(words[1]))

    def _run(self, module: nn.Module, inputs: Tensors, outputs: tuple[int, ...]) -> Tensors:
        """The values of some nodes, in float32."""
        self._network.outputs = outputs
        with self.placement.autocast():
            values = module(*inputs)
        return tuple(one.float() for one in (values if isinstance(values, tuple) else (values,)))

    def _pieces(self, arrays: Arrays) -> Iterator[Tensors]:
        """Samples as many at a time as are in a batch, for a network that only looks at them."""
        self._network.eval()
        with torch.inference_mode():
            for first in range(0, len(arrays[0]), self.plan.batch):
                rows = slice(first, first + self.plan.batch)
                yield tuple(self.placement.moved(np.ascontiguousarray(array[rows])) for array in arrays)

    def _rows(self, array: Array, indices: NDArray[np.integer] | None) -> torch.Tensor:
        """Samples on the device, gathered there where all of them are."""
        if indices is None:
            return self.placement.moved(array)
        there = self._all_on_gpu(array)
        if there is None:
            return self.placement.moved(array[indices])
        return self.placement.laid_out(there[self.placement.moved(indices)])

    def _all_on_gpu(self, array: Array) -> torch.Tensor | None:
        """A copy of all samples that stays on the GPU, where there is plenty of room."""
        for known, tensor in self._on_gpu:
            if known is array:
                return tensor
        if not self.placement.is_gpu or array.nbytes > self.placement.room() // SHARE_OF_GPU:
            return None
        self._on_gpu.append((array, self.placement.copied(array)))
        return self._on_gpu[-1][1]

    def _need_loss(self) -> tuple[LossKernel, Loss]:
        if self._loss is None or self.plan.loss is None:
            needed = "a loss needs one output, and the network gives"
            raise ValueError(f"the model was compiled without a loss; {needed} {self.outputs}")
        return self._loss, self.plan.loss

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Around what a GPU computes."""
        try:
            yield
        except torch.OutOfMemoryError:
            half = self.plan.batch // 2
            help = f"`--batch {half}` needs about half" if half else "the network must become smaller"
            message = f"a batch of {self.plan.batch} needs more memory than {self.placement} has left"
            raise TrainingError(message, help) from None


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().numpy(force=True)
    return array


def _checked(targets: NDArray[np.number], kernel: LossKernel) -> NDArray[np.number]:
    """Targets whose class numbers are classes: a GPU would say so much later, and badly."""
    if targets.dtype.kind not in "iu":
        return targets
    shape = kernel.shape
    if targets.shape[1:] == shape and targets.ndim > 1:  # numbers for single outputs
        return targets
    if targets.min() < 0 or targets.max() >= shape[0]:
        wrong = targets[(targets < 0) | (targets >= shape[0])][0]
        raise ValueError(f"label {wrong} is no class: there are {shape[0]}, from 0")
    return targets.astype(np.int64, copy=False)
