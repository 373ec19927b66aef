"""What every layer kind answers: its output shape, its weights, its window and its cost.

A kind is one pydantic class whose fields are its options; the keyword of the language is the snake case of
the class name unless the class names another. Rules know nothing of files or spans: a rule that is broken
raises `LayerError`, naming the option at fault, and the pass that called it adds where that option stands.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from cnnspec.language.record import record
from cnnspec.layers.declaration import Declaration

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula
    from cnnspec.layers.terms import Terms

Shape = tuple[int, ...]
"""The shape of one sample, channel first: `(1, 28, 28)`, `(1, 16000)`, `(400,)`. Python integers."""


def show(shape: Shape) -> str:
    """A shape as the language writes it: `6x28x28`."""
    return "x".join(map(str, shape))


class LayerError(Exception):
    """A rule of a layer kind is broken by its options or by the shapes it receives.

    Attributes:
        code: the slug of the diagnostic.
        message: what is wrong, one line.
        option: the option at fault, if it is one; otherwise the layer as a whole.
        inputs: numbers of the inputs at fault, shown with where they come from.
        label: the arithmetic, written under the caret.
        notes: further facts.
        help: what to do.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        option: str | None = None,
        inputs: tuple[int, ...] = (),
        label: str = "",
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.option = option
        self.inputs = inputs
        self.label = label
        self.notes = notes
        self.help = help


@record
class Weight:
    """One array of parameters that a layer owns.

    `fan_in` and `fan_out` are the numbers of inputs that one output sees and of outputs that one input
    reaches (Glorot & Bengio 2010); initialisers read them. An array with an `initial` value begins with that
    value everywhere, whatever the initialiser, with those of a tuple, row by row, or with `signs`, random
    -1 and +1 that are the same in every run. One that is not trainable is frozen, or state that a layer keeps
    itself, such as running statistics; state is no parameter, and is not counted as one. `held` is what a
    recipe freezes.
    """

    name: str
    shape: Shape
    fan_in: int
    fan_out: int
    role: Literal["weight", "bias", "state"] = "weight"
    trainable: bool = True
    initial: float | tuple[int, ...] | Literal["signs"] | None = None
    held: bool = False

    @property
    def learned(self) -> bool:
        """Whether training changes it by its gradient."""
        return self.trainable and not self.held

    @property
    def size(self) -> int:
        """The number of elements in the array."""
        return product(self.shape)


class AxisSight(ABC):
    """Which input positions each output position sees along one spatial axis."""

    __slots__ = ()

    @property
    @abstractmethod
    def period(self) -> int:
        """Outputs after which the same pattern returns."""

    @property
    @abstractmethod
    def advance(self) -> int:
        """Input positions by which the pattern has moved on then."""

    @abstractmethod
    def seen(self, output: int) -> range:
        """The input positions that an output position sees, the first and last of which may lie outside."""


@record
class AxisWindow(AxisSight):
    """A window that slides over the input along one spatial axis."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @property
    def reach(self) -> int:
        """Input positions from the window's first to its last: `dilation * (kernel - 1) + 1`."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def period(self) -> int:
        """All windows are alike."""
        return 1

    @property
    def advance(self) -> int:
        """The stride."""
        return self.stride

    def seen(self, output: int) -> range:
        """`kernel` positions, `dilation` apart."""
        start = output * self.stride - self.before
        return range(start, start + self.reach, self.dilation)


Window = tuple[AxisSight, ...] | Literal["pointwise", "everything"]
"""What one output unit sees of the layer's input: positions along every spatial axis, the unit at its own
position, or the whole input."""

Family = Literal[
    "input",
    "convolution",
    "pooling",
    "dense",
    "activation",
    "normalization",
    "regularization",
    "shape",
    "merge",
]


class Layer(Declaration, ABC):
    """One layer kind; an instance is one use of it with its options."""

    family: ClassVar[Family]
    arity: ClassVar[int | None] = 1
    """The number of inputs; `None` for any number of them."""
    linear: ClassVar[bool] = False
    """Whether the output is an affine function of the input."""
    cancels_bias: ClassVar[bool] = False
    """Whether it takes off the mean of each channel, and a constant added to a channel with it."""
    takes_logits: ClassVar[bool] = False
    """Whether it makes of any numbers probabilities that add up to 1, or their logarithms."""

    @classmethod
    def __init_subclass__(cls) -> None:
        """Register the kind under its keyword; a class whose name begins with `_` is a shared base."""
        super().__init_subclass__()
        if not cls.__name__.startswith("_"):
            _KINDS[cls.keyword] = cls

    @abstractmethod
    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the output for inputs of these shapes.

        Raises:
            LayerError: the layer cannot take these inputs.
        """

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """The parameter arrays that the layer owns."""
        return ()

    def window(self, *inputs: Shape) -> Window:
        """What one output unit sees of the layer's input."""
        return "pointwise"

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulates for one sample; only convolutions and dense layers have any."""
        return 0

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The derivation of the output shape with its numbers, one line an axis that needs one."""
        return ()

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """Formulas of output, parameters and MACs; without them, what the other methods say is shown."""
        return ()

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms | None:
        """What one output element is made of, where that is a window or a sum; its inputs are checked."""
        return None


_KINDS: Final[dict[str, type[Layer]]] = {}


def kinds() -> dict[str, type[Layer]]:
    """Every registered layer kind by its keyword, in the order of registration."""
    return dict(_KINDS)


def product(sizes: Shape) -> int:
    """The product of sizes as a Python integer, 1 for none."""
    result = 1
    for size in sizes:
        result *= size
    return result


def divisors_of(*numbers: int, most: int = 8) -> str:
    """The smallest common divisors, as messages list them: `1, 2, 4, 8`."""
    largest = min(*numbers, 4096)
    found = [str(d) for d in range(1, largest + 1) if all(number % d == 0 for number in numbers)]
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")
