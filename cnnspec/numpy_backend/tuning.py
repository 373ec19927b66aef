"""Choices by measured trials, and where they are kept.

First the candidates of each layer are tried by themselves, then numbers of workers and sizes of pieces on the
whole network, one challenger after the other; whoever takes turns with the best so far and is clearly faster
takes its place. What is found is kept in a file of this user's cache, for this machine, network, batch and
pass, and used where it is asked for.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.language.saving import save
from cnnspec.numpy_backend.blas import architectures, blas_threads, cores
from cnnspec.numpy_backend.choices import BadChoices, Choices
from cnnspec.numpy_backend.layouts import tiles_asked
from cnnspec.numpy_backend.model import Model
from cnnspec.numpy_backend.plan import Plan, make_plan
from cnnspec.numpy_backend.selection import ways
from cnnspec.numpy_backend.trials import Setting, medians, trial
from cnnspec.recipe.learning import CrossEntropy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe.learning import Loss

Say = Callable[[str], None]

LAYER_SECONDS: Final = 0.05
"""Seconds for the trials of one layer, unless three rounds take longer."""
HOPELESS: Final = 3.0
"""How many times as long as the best a candidate may be estimated to take and still be tried."""
STEP_SECONDS: Final = 0.4
CLEARLY: Final = 0.97
"""A challenger must take less than this share of the time of the best so far: figures scatter."""


@dataclass(frozen=True)
class Subject:
    """What is tuned: a network in training or prediction at a batch size, and whether it has a loss."""

    graph: Graph
    facts: Facts
    batch: int
    training: bool
    loss: Loss | None

    def plan(self, choices: Choices) -> Plan:
        """The plan of these choices."""
        return make_plan(
            self.graph,
            self.facts,
            batch=self.batch,
            training=self.training,
            loss=self.loss if self.training else None,
            choices=choices,
        )

    @property
    def key(self) -> str:
        """What the best choices depend on, in a few letters: the machine and all of this."""
        nodes = zip(self.graph.nodes, self.facts.layers, strict=True)
        layers = [(node.name, str(node.layer), node.inputs, known.shape) for node, known in nodes]
        told = (_machine(), self.batch, self.training, self.graph.outputs, layers)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


def tune(subject: Subject, say: Say) -> Choices:
    """Try, for seconds to minutes, and tell what is being tried."""
    start = subject.plan(Choices())
    algorithms = _algorithms(subject, start, say)
    found = replace(Choices(), algorithms=algorithms)
    return _sharing(subject, found, say)


# --- algorithms -------------------------------------------------------------------------------------------


def _algorithms(subject: Subject, plan: Plan, say: Say) -> dict[str, str]:
    """The fastest candidate of each layer that has several; layers alike are tried once."""
    tiles = tiles_asked(subject.graph, subject.facts)
    tried: dict[Setting, str] = {}
    chosen = {}
    for i, (node, known, selected) in enumerate(
        zip(subject.graph.nodes, subject.facts.layers, plan.selected, strict=True)
    ):
        if len(selected.rivals) < 2:
            continue
        tile = tiles.get(i, ())
        setting = Setting(node.layer, known.input_shapes[0], tile, plan.micro_batch, subject.training)
        if setting not in tried:
            kinds = ways(node.layer, known.input_shapes, tile, subject.training)
            most = HOPELESS * min(selected.estimates)
            likely = [kind for kind, s in zip(kinds, selected.estimates, strict=True) if s <= most]
            say(f"{node.name}: {', '.join(kind.name for kind in likely)}")
            with blas_threads(plan.blas_threads):
                times = medians([trial(kind, setting) for kind in likely], LAYER_SECONDS)
            tried[setting] = likely[times.index(min(times))].name
        chosen[node.name] = tried[setting]
    return chosen


# --- workers and pieces -----------------------------------------------------------------------------------


def _sharing(subject: Subject, choices: Choices, say: Say) -> Choices:
    """Another number of workers, then larger and smaller pieces, as long as they are faster."""
    best = _settled(subject, choices)
    others = {1, cores()} - {best.workers}
    for workers in sorted(n for n in others if n is not None and n <= subject.batch):
        best = _faster(subject, best, _settled(subject, replace(choices, workers=workers)), say)
    for change in (_larger, _smaller):
        before = None
        while best != before:
            before, challenger = best, change(subject, best)
            if challenger is not None:
                best = _faster(subject, best, challenger, say)
        if best.micro_batch != _settled(subject, choices).micro_batch:
            break
    return best


def _settled(subject: Subject, choices: Choices) -> Choices:
    """The choices with workers and pieces as the plan has them."""
    plan = subject.plan(choices)
    return replace(choices, workers=plan.workers, micro_batch=plan.micro_batch)


def _larger(subject: Subject, choices: Choices) -> Choices | None:
    size, share = choices.micro_batch or 1, -(-subject.batch // (choices.workers or 1))
    return replace(choices, micro_batch=min(2 * size, share)) if size < share else None


def _smaller(subject: Subject, choices: Choices) -> Choices | None:
    size = (choices.micro_batch or 1) // 2
    return replace(choices, micro_batch=size) if size else None


def _faster(subject: Subject, best: Choices, challenger: Choices, say: Say) -> Choices:
    """Which of two is faster on the whole network, turn by turn."""
    say(f"{challenger.workers} workers, pieces of {challenger.micro_batch}")
    with Model(subject.plan(best)) as one, Model(subject.plan(challenger)) as other:
        old, new = medians([_step(subject, one), _step(subject, other)], STEP_SECONDS)
    return challenger if new < CLEARLY * old else best


def _step(subject: Subject, model: Model) -> Callable[[], object]:
    """A step on random numbers; weights small, so that none overflows."""
    random = np.random.default_rng(0)
    for name, array in model.weights.items():
        model.weights[name] = np.abs(random.standard_normal(array.shape)) * 0.01 + 0.001
    x = tuple(np.ones((subject.batch, *shape), np.float32) for shape in model.inputs.shapes)
    given = x[0] if len(x) == 1 else x
    if not subject.training:
        return lambda: model.forward(given)
    if subject.loss is not None:
        targets = _targets(subject.loss, model.outputs.shapes[0], subject.batch)
        return lambda: model.loss_and_gradients(given, targets)
    dy = tuple(np.ones((subject.batch, *shape), np.float32) for shape in model.outputs.shapes)

    def step() -> None:
        model.forward(given, training=True)
        model.backward(dy[0] if len(dy) == 1 else dy)

    return step


def _targets(loss: Loss, shape: Shape, count: int) -> NDArray[np.number]:
    """Targets as the loss takes them: the first class, or zeros."""
    if isinstance(loss, CrossEntropy):
        return np.zeros((count, *shape[1:]), np.int64)
    return np.zeros((count, *shape), np.float32)


# --- kept -------------------------------------------------------------------------------------------------


def folder() -> Path:
    """Where tuned choices are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("cnnspec") / "tuned"


def keep(subject: Subject, choices: Choices) -> Path:
    """Write choices down.

    Raises:
        OSError: they cannot be written.
    """
    path = folder() / f"{subject.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, choices.as_json().encode())
    return path


def kept(subject: Subject) -> Choices | None:
    """The choices that were found for this, if they were; a file that holds none is passed over."""
    try:
        return Choices.from_json((folder() / f"{subject.key}.json").read_text(encoding="utf-8"))
    except (OSError, BadChoices, UnicodeDecodeError):
        return None


def _machine() -> tuple[str, ...]:
    """What trials depend on beside the network."""
    return (_processor(), str(cores()), *architectures(), np.__version__)


def _processor() -> str:
    """The name of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(_after_colon(lines), platform.machine())


def _after_colon(lines: list[str]) -> Iterator[str]:
    return (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
