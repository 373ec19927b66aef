"""Changes of shape, parts and borders."""

from __future__ import annotations

from itertools import accumulate

from cnnspec.bridges.onnx_import.folding import BATCH
from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, ends, number, reads
from cnnspec.layers import product
from cnnspec.layers.channels import Take
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.shapes import Flatten, Reshape


@reads("Flatten")
def _flatten(at: At) -> Made:
    at.wants("axis", 1)
    return Made(Flatten(), (at.x,))


@reads("Reshape")
def _reshape(at: At) -> Made:
    """The first number must be the batch: 0, -1, or 1 of a model for one sample; or computed."""
    numbers = at.graph.whole_numbers(at.node.inputs[1])
    if numbers is None:
        raise Cannot("its shape is computed")
    shape, size = numbers[1:], product(at.shape())
    if not shape or numbers[0] not in (0, -1, 1, BATCH):
        raise Cannot(f"it mixes the samples of a batch: {numbers}")
    own = [at.shape()[i] if n == 0 and i < len(at.shape()) else n for i, n in enumerate(shape)]
    if -1 in own:
        known = product(tuple(n for n in own if n != -1))
        own[own.index(-1)] = size // known if known else 0
    if product(tuple(own)) != size:
        raise Cannot(f"it mixes the samples of a batch: {numbers}")
    return Made(Flatten() if len(own) == 1 else Reshape(shape=tuple(own)), (at.x,))


@reads("Squeeze", "Unsqueeze")
def _squeeze(at: At) -> Made:
    """Axes of one position that go or come; the channels stay first."""
    axes = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("axes")
    if axes is None:
        raise Cannot("its axes are not given")
    sizes = [0, *at.shape()]
    if at.node.op == "Squeeze":
        gone = {axis % len(sizes) for axis in axes}
        sizes = [size for axis, size in enumerate(sizes) if axis not in gone]
    else:
        for axis in sorted(axis % (len(sizes) + len(axes)) for axis in axes):
            sizes.insert(axis, 1)
    shape = tuple(sizes[1:])
    if sizes[:1] != [0] or product(shape) != product(at.shape()) or shape[:1] != at.shape()[:1]:
        raise Cannot("it moves the samples or the channels")
    return Made(Flatten() if len(shape) == 1 else Reshape(shape=shape), (at.x,))


@reads("Pad")
def _pad(at: At) -> Made:
    amounts = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("pads")
    if amounts is None or at.has(3):
        raise Cannot("its amounts are computed")
    half = len(amounts) // 2
    if any(amounts[:2]) or any(amounts[half : half + 2]):
        raise Cannot("it pads samples or channels")
    mode = at.option("mode", b"constant").decode()
    if mode not in ("constant", "reflect", "edge"):
        raise Cannot(f"`mode` is {mode}")
    value = at.graph.number(at.node.inputs[2]) if at.has(2) and mode == "constant" else 0
    options = {"mode": mode} | ({"value": number(value)} if value else {})
    return Made(Pad(amounts=ends(amounts[2:half], amounts[half + 2 :]), **options), (at.x,))


@reads("Transpose", "Reordered")
def _moved(at: At) -> Made:
    """What the layout leaves of a model's order of axes."""
    raise Cannot(f"{at.option('reader', 'what reads it')} takes channels, rows and columns in another order")


@reads("Split")
def _split(at: At) -> Made:
    """One of the parts into which channels are split; the last may be smaller."""
    channels, part, parts = at.shape()[0], at.option("part"), at.option("parts")
    if at.option("axis", 0) % (len(at.shape()) + 1) != 1:
        raise Cannot("it does not split channels")
    sizes = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("split")
    if at.has(1) and sizes is None:
        raise Cannot("the sizes of its parts are computed")
    stops = list(accumulate(sizes or [-(-channels // parts)] * parts))
    return Made(Take(start=(0, *stops)[part], stop=min(stops[part], channels)), (at.x,))


@reads("Slice")
def _slice(at: At) -> Made:
    """A range of the channels, or a smaller map."""
    parts = [at.graph.whole_numbers(name) for name in at.node.inputs[1:]]
    if any(part is None for part in parts) or not parts:
        raise Cannot("its places are computed")
    starts, stops = parts[0] or [], parts[1] or []
    axes = parts[2] if len(parts) > 2 and parts[2] is not None else list(range(len(starts)))
    steps = parts[3] if len(parts) > 3 and parts[3] is not None else [1] * len(starts)
    if set(steps) != {1}:
        raise Cannot("it takes steps")
    shape = at.shape()
    ranges = {i: (0, n) for i, n in enumerate(shape, 1)}
    for axis, start, stop in zip(axes, starts, stops, strict=True):
        place = axis % (len(shape) + 1)
        if place == 0 and (start, stop >= BATCH) == (0, True):
            continue
        if place == 0:
            raise Cannot("it cuts the batch")
        ranges[place] = slice(start, stop).indices(shape[place - 1])[:2]
    cut = {axis for axis, found in ranges.items() if found != (0, shape[axis - 1])}
    if cut <= {1}:
        return Made(Take(start=ranges[1][0], stop=ranges[1][1]), (at.x,))
    if 1 in cut:
        raise Cannot("it cuts channels and positions at once")
    before = [ranges[axis][0] for axis in range(2, len(shape) + 1)]
    after = [shape[axis - 1] - ranges[axis][1] for axis in range(2, len(shape) + 1)]
    return Made(Crop(amounts=ends(before, after)), (at.x,))
