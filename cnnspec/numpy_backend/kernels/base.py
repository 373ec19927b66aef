"""What every kernel answers, and the registry that finds the kernel of a layer kind.

A kernel is how one layer kind is computed. It lives twice. When the plan is made it knows sizes only: which
layouts it reads and writes, what memory it needs beside its inputs and outputs. When it is bound to buffers
for `n` images, `forward` and `backward` build every view they need and return functions without arguments,
so that a step of training runs nothing but NumPy calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from cnnspec.layers import Layer, Shape, Weight, product

Array = NDArray[np.float32]
"""Every array of numbers; float64 where a test asks for it."""
Numbers = NDArray[np.float64]
"""What the pieces of a batch exchange."""
Run = Callable[[], None]
"""A bound piece of work."""
Way = Literal["forward", "backward"]
Index = tuple[int | slice, ...]
"""What selects part of an array."""
Margin = tuple[tuple[int, int], ...]
"""Zeros before and after every spatial axis."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a value lies in memory, the images always innermost.

    Plain, the array is `C x H x W x N`. With a `tile` of `th x tw` it is `th x tw x C x H/th x W/tw x N`:
    all elements at one place of their tile side by side. With a `margin` a plain array has room for zeros
    around the map.
    """

    shape: Shape
    tile: Shape = ()
    margin: Margin = ()

    @property
    def stored(self) -> Shape:
        """The shape of the array without its last axis, the images."""
        channels, *sizes = self.shape
        if self.tile:
            return (*self.tile, channels, *(n // t for n, t in zip(sizes, self.tile, strict=True)))
        if self.margin:
            return (channels, *(n + sum(m) for n, m in zip(sizes, self.margin, strict=True)))
        return self.shape

    def inside(self, whole: Array) -> Array:
        """The array without its margin."""
        if not self.margin:
            return whole
        sizes = zip(self.shape[1:], self.margin, strict=True)
        index: Index = (slice(None), *(slice(before, before + n) for n, (before, _) in sizes))
        return whole[index]

    def __str__(self) -> str:
        axes = "x".join(map(str, self.stored))
        if self.tile:
            return f"{axes}xN, tiles first"
        return f"{axes}xN" + (" with margin" if self.margin else "")


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory of a kernel's own: `shape` for every image, or in all if `per_image` is false.

    `during` says when its contents matter: in one of the passes, or `both`, from one to the other; `kept` is
    as `both` in training, and not there otherwise. Where `at_most` numbers are enough for any images, the
    array is flat. Each member of a team has such memory for itself, unless it is `common` to all.
    """

    name: str
    shape: Shape
    during: Literal["forward", "backward", "both", "kept"]
    per_image: bool = True
    at_most: int | None = None
    common: bool = False

    def stored(self, n: int) -> Shape:
        """The shape of the array for `n` images."""
        if self.at_most is not None:
            return (min(product(self.shape) * n, self.at_most),)
        return (*self.shape, n) if self.per_image else self.shape


@dataclass(frozen=True, slots=True)
class Member:
    """One of the workers, `among` so many, that compute a layer together."""

    number: int
    among: int

    def share(self, length: int) -> slice:
        """Its share of so many things: theirs are as even as may be."""
        return slice(length * self.number // self.among, length * (self.number + 1) // self.among)


@dataclass(frozen=True, slots=True)
class Work:
    """What the forward pass of an algorithm does for a piece, counted; the backward pass goes with it.

    Attributes:
        multiplied: multiply-accumulates of its matrix products.
        cut: numbers that it cuts from its input and arranges for them, those with strides twice.
        laid: numbers that it makes its output from.
        short: rows of the map or of images that it copies, one by one.
        far: numbers of input and output that a cache does not hold.
        weights: numbers in the matrices that it makes of its weight.
        strided: numbers of its output that a pooling behind it takes with `strided`, for want of tiles.
        calls: once for each use.
    """

    multiplied: float
    cut: float
    laid: float
    short: float
    far: float
    weights: float
    strided: float = 0.0
    calls: int = 1


HELD: Final = 1 << 19
"""Numbers of float32 that a cache of 2 MiB holds."""


def far(*shapes: Shape, images: int) -> int:
    """How many numbers of so many images a cache does not hold."""
    return max(sum(map(product, shapes)) * images - HELD, 0)


SHORT: Final = 12
"""Images, taken from one position after the other, of which so many take as long as more."""


def strided(shape: Shape, images: int) -> int:
    """The numbers of a map that are taken with strides, position by position."""
    return product(shape) * min(images, SHORT)


@dataclass(slots=True)
class Moment:
    """What changes from one piece of a batch to the next; each worker has its own.

    Attributes:
        training: whether layers that act in training only do so.
        first: whether this is the worker's first piece, with which sums of gradients begin.
        repeats: whether a forward pass only computes again what was computed before, and changes no state.
        seed, step, image: what random masks derive from; `image` is the piece's first.
    """

    training: bool = False
    first: bool = True
    repeats: bool = False
    seed: int = 0
    step: int = 0
    image: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """The buffers that a kernel is bound to, for `n` images.

    `x`, `y`, `dx`, `dy` are the values and their gradients without margins; `whole_x` and `whole_dx` with
    them. An entry of `dx` is `None` where nobody asks for it. `weights` are the public arrays, `shared` what
    `prepare` made of them, `sums` the worker's sums of gradients. `part` is what this piece contributes to
    the exchanges of the kernel, `whole` what was made of all parts.
    """

    n: int
    number: int
    moment: Moment
    x: tuple[Array, ...]
    whole_x: tuple[Array, ...]
    y: Array
    dx: tuple[Array | None, ...]
    whole_dx: tuple[Array | None, ...]
    dy: Array
    weights: Mapping[str, Array]
    shared: Mapping[str, Array]
    sums: Mapping[str, Array]
    scratch: Mapping[str, Array]
    part: Mapping[Way, Numbers]
    whole: Mapping[Way, Numbers]

    def of_channels(self, some: slice) -> Site:
        """The same for some channels, or whatever the first axis of the values is, in a forward pass."""
        x, whole_x = (tuple(array[some] for array in arrays) for arrays in (self.x, self.whole_x))
        return replace(self, x=x, whole_x=whole_x, y=self.y[some])


@dataclass(frozen=True, slots=True)
class Council:
    """What a kernel makes its combinations from: the parts of all pieces, a row each, and where they go.

    `parts` holds zeros for pieces that a smaller batch does not have. `weights` are the public arrays, `sums`
    the first worker's sums of gradients, in which a combination may put the gradients of the whole batch.
    """

    moment: Moment
    parts: Mapping[Way, Numbers]
    whole: Mapping[Way, Numbers]
    weights: Mapping[str, Array]
    sums: Mapping[str, Array]


L = TypeVar("L", bound=Layer)


@dataclass(frozen=True, slots=True)
class Bare:
    """What is left of a layer whose scales are computed elsewhere.

    The layer gives `scale * kind(takes * x) + shift`; both scales are above 0.
    """

    kind: type[Kernel[Any]]
    takes: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


Finish = Callable[[Array], Run]
"""Binds what is done to some outputs in place, as long as they are in the cache."""


def leave(outputs: Array) -> Run:
    """Do nothing to them."""
    return nothing


class Kernel(ABC, Generic[L]):
    """How one use of a layer kind is computed."""

    name: ClassVar[str] = ""
    """What choices call it, where a layer can be computed in several ways."""
    priced_as: ClassVar[str] = ""
    """Whose prices its work has."""
    elementwise: ClassVar[bool] = False
    """Whether each element of the output depends on that of the input alone, so that any layout will do."""
    in_place: ClassVar[bool] = False
    """Whether `y` may be the memory of `x`, and `dx` that of `dy`; of several inputs, those of the first."""
    view: ClassVar[bool] = False
    """Whether the output is the input under another shape."""
    reads_margin: ClassVar[bool] = False
    """Whether inputs may have a margin."""
    writes_margin: ClassVar[bool] = False
    """Whether the output may be given one."""
    by_channel: ClassVar[bool] = False
    """Whether a channel of the output takes the same channel of the inputs alone, and `forward` may be bound
    to some of them: of arrays without tiles, or of one tile."""
    finishes: ClassVar[bool] = False
    """Whether it hands its outputs to `finish`, part by part."""
    pads_in_passing: ClassVar[bool] = False
    """Whether a margin around its input would save it nothing: it copies parts of the map anyway."""
    folds: ClassVar[bool] = False
    """Whether outputs are linear in `weight` and `bias`, so that a batch norm behind can be folded in."""
    learns: ClassVar[bool] = True
    """Whether it has a backward pass."""
    fewest_images: int = 1
    """Images that a batch must have in training."""
    keeps_input: bool = False
    """Whether `backward` reads `x`."""
    keeps_output: bool = False
    """Whether `backward` reads `y`."""
    outputs_at_once: Shape = ()
    """The tile of outputs that it computes at once, if it does."""
    absorbed: str = ""
    """The batch norm that is folded into its weights, and the activation that it does in passing."""
    algorithm: str = ""
    """How it is computed, in a few words, and why so."""
    why: str = ""

    def __init__(
        self, layer: L, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.output = output
        self.weights = weights
        self.finish: Finish = leave

    @classmethod
    def suited(cls, layer: L, inputs: tuple[Shape, ...]) -> type[Kernel[L]]:
        """The kernel for this use of the layer: this one, or one that suits its options better."""
        return cls

    @classmethod
    def candidates(cls, layer: L, inputs: tuple[Shape, ...], tile: Shape) -> tuple[type[Kernel[L]], ...]:
        """The kernels that can compute this use of the layer, if it is not this one alone.

        `tile` is the one in which its reader would like the output, or `()`.
        """
        return (cls,)

    @classmethod
    def work(cls, layer: L, inputs: tuple[Shape, ...], tile: Shape, images: int) -> Work:
        """What it does for a piece of so many images; of kernels between which there is a choice."""
        raise NotImplementedError

    @classmethod
    def bare(cls, layer: L, inputs: tuple[Shape, ...]) -> Bare | None:
        """A cheaper kernel that gives the same but for scales, which linear layers beside it can take in."""
        return None

    @classmethod
    def commutes(cls, layer: L, inputs: tuple[Shape, ...]) -> bool:
        """Whether it gives `s y + t` for `s x + t`, if it gives `y` for `x` and `s` is above 0."""
        return cls.view

    @classmethod
    def takes_shift(cls, layer: L, inputs: tuple[Shape, ...]) -> bool:
        """Of a kernel that `folds`: whether a number added to its input is one added to its bias."""
        return False

    @classmethod
    def in_passing(cls, layer: L) -> Finish | None:
        """What it does to numbers in place, wherever they lie; nothing where it needs more than them."""
        return None

    @classmethod
    def margin(cls, layer: L, shape: Shape) -> Margin:
        """The margin that the kernel would like around its input."""
        return ()

    @classmethod
    def reads_tiles(cls, layer: L, shape: Shape) -> Shape:
        """The tile in which the kernel would like its input, or `()`."""
        return ()

    @classmethod
    def writes_tiles(cls, layer: L, shape: Shape, tile: Shape) -> bool:
        """Whether the kernel gains by giving its output in such tiles."""
        return False

    def scratch(self) -> tuple[Scratch, ...]:
        """The memory it needs of its own."""
        return ()

    def shared(self) -> dict[str, Shape]:
        """Arrays that all workers read, made from the weights once a step."""
        return {}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run | None:
        """Fill the shared arrays."""
        return None

    def sums(self) -> dict[str, Shape]:
        """Arrays in which a worker adds up gradients; by default one like each weight."""
        return {weight.name: weight.shape for weight in self.weights if weight.trainable}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run | None:
        """Turn the sums of all workers into gradients of the weights, where they are not that already."""
        return None

    def exchanges(self) -> dict[Way, tuple[Shape, Shape]]:
        """The passes in training that need numbers of the whole batch, such as its mean.

        In such a pass every piece first contributes its part. When all have, the parts are combined, once,
        and the pass goes on with the whole. The shapes are those of a part and of the whole.
        """
        return {}

    def contribute(self, way: Way, at: Site) -> Run:
        """Bind what a pass does before the exchange, which fills `at.part[way]`; in training only."""
        raise NotImplementedError

    def combine(self, way: Way, council: Council) -> Run:
        """Bind `whole[way]` from `parts[way]`."""
        raise NotImplementedError

    def beside_weight(self, factor: NDArray[np.float64]) -> NDArray[np.float64]:
        """A number for each output channel in a shape in which it is multiplied with `weight`."""
        return factor.reshape(-1, *(1,) * (len(self.weights[0].shape) - 1))

    @abstractmethod
    def forward(self, at: Site) -> Run:
        """Bind the computation of `y`, or what of it comes behind the exchange."""

    def together(self, at: Site, member: Member) -> list[Run]:
        """Bind a member's work of the forward pass in a team, phase by phase; as many for every member.

        None begins a phase before all have ended the one before. Where a kernel does not say how its work is
        divided, the first member does all of it.
        """
        if self.by_channel:
            some = member.share(len(at.y))
            return [self.forward(at.of_channels(some)) if some.start < some.stop else nothing]
        whole = self.forward(at)
        if whole is nothing:
            return []
        return [whole if member.number == 0 else nothing]

    @abstractmethod
    def backward(self, at: Site) -> Run:
        """Bind the computation of `dx` and of the weights' gradients from `dy`, which it may destroy."""


def nothing() -> None:
    """The work of a kernel that has none."""


def flat(array: Array) -> Array:
    """A contiguous array as `rows x n`: everything but the images, the images."""
    assert array.flags.c_contiguous, "a view would be a copy"
    return array.reshape(-1, array.shape[-1])


def along(axis: int, part: slice) -> Index:
    """The index of a part of one axis, and of all of those before it."""
    return (*(slice(None),) * axis, part)


def in_parts(whole: slice, each: int) -> Iterator[slice]:
    """Parts of a range, of so many but for the last."""
    return (slice(i, min(i + each, whole.stop)) for i in range(whole.start, whole.stop, each))


def in_turn(runs: Iterable[Run]) -> Run:
    """Bind several pieces of work, one after the other."""
    work = [run for run in runs if run is not nothing]
    if len(work) == 1:
        return work[0]

    def run() -> None:
        for each in work:
            each()

    return run


def copying(source: Array, target: Array) -> Run:
    """Bind `target = source`."""
    return partial(np.copyto, target, source)


def by_image(array: Array) -> NDArray[np.void]:
    """A view in which the numbers of all images at one position are one item, to be copied as one."""
    return array.view(_item(array.shape[-1] * array.itemsize))


@cache
def _item(size: int) -> np.dtype[np.void]:
    """Bytes that are one item: one type for all arrays, of which a large network has ten thousands."""
    return np.dtype((np.void, size))


def copying_images(source: Array, target: Array) -> Run:
    """Bind `target = source` for arrays whose rows are short, such as the images at one position.

    With 2 to 64 images, NumPy copies them as items in a third to nine tenths of the time, unless those of
    neighbouring positions lie side by side in both arrays.
    """
    if source.shape[-1] == 1 or (_in_a_row(source) and _in_a_row(target)):
        return copying(source, target)
    whole, into = by_image(source), by_image(target)
    return partial(np.copyto, into, whole)


def _in_a_row(array: Array) -> bool:
    """Whether the last two axes are one stretch of memory."""
    return array.ndim > 1 and array.strides[-2] == array.shape[-1] * array.itemsize


def accumulating(operation: np.ufunc, operands: Sequence[Array], out: Array) -> Run:
    """Bind `out = a op b op ...`; `out` may be the memory of the first."""
    first, *others = operands
    if not others:
        return copying(first, out)

    def run() -> None:
        operation(first, others[0], out=out)
        for other in others[1:]:
            operation(out, other, out=out)

    return run


def adding(x: Array, y: Array) -> Run:
    """Bind `y += x`."""

    def run() -> None:
        np.add(y, x, out=y)

    return run


def multiplying(a: Array, b: Array, out: Array) -> Run:
    """Bind the matrix product `out = a b`."""

    def run() -> None:
        np.matmul(a, b, out=out)

    return run


def add_product(a: Array, b: Array, total: Array, spare: Array, moment: Moment | None) -> Run:
    """Bind `total = a b` for the first piece of a moment, `total += a b` for the others and without one.

    `spare` is memory like `total`.
    """
    multiply = np.multiply if a.shape[-1] == 1 else np.matmul  # a matrix product of one term is slow

    def run() -> None:
        if moment is not None and moment.first:
            multiply(a, b, out=total)
        else:
            multiply(a, b, out=spare)
            np.add(total, spare, out=total)

    return run


def add_rows(rows: Array, total: Array, spare: Array, moment: Moment) -> Run:
    """Bind the sum of each row of `rows`, added to `total` but for the first piece."""
    ones = constant(1, (rows.shape[-1], 1), rows.dtype)
    return add_product(rows, ones, total[:, None], spare[:, None], moment)


_CONSTANTS: Final[WeakValueDictionary[tuple[float, Shape, np.dtype[np.float32]], Array]] = (
    WeakValueDictionary()
)


def constant(value: float, shape: Shape, dtype: np.dtype[np.float32]) -> Array:
    """An array of one value, for reading only; all who ask for the same one share it while they last."""
    array = _CONSTANTS.get((value, shape, dtype))
    if array is None:
        array = np.full(shape, value, dtype)
        array.flags.writeable = False
        _CONSTANTS[value, shape, dtype] = array
    return array


_KERNELS: Final[dict[type[Layer], type[Kernel[Layer]]]] = {}
K = TypeVar("K", bound="type[Kernel[Layer]]")


def computes(*kinds: type[Layer]) -> Callable[[type], type]:
    """Register the decorated kernel for these layer kinds."""

    def register(kernel: type) -> type:
        for kind in kinds:
            _KERNELS[kind] = kernel
        return kernel

    return register


def kernel_class(kind: type[Layer]) -> type[Kernel[Layer]]:
    """The kernel of a layer kind.

    Raises:
        NotImplementedError: there is none.
    """
    try:
        return _KERNELS[kind]
    except KeyError:
        raise NotImplementedError(f"`{kind.keyword}` has no kernel in the NumPy backend") from None


def kernel_of(layer: Layer, inputs: tuple[Shape, ...]) -> type[Kernel[Layer]]:
    """The kernel of one use of a layer, whose inputs have these shapes.

    Raises:
        NotImplementedError: the kind has none.
    """
    return kernel_class(type(layer)).suited(layer, inputs)


def elements(shape: Shape) -> int:
    """The number of elements of an array."""
    return product(shape)
