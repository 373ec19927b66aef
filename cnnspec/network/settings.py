"""Values from outside for a file: for parameters of its network, and for settings of its `train` block.

A setting is called by its option, `lr`; where several have one of that name, or another than the file's is
meant, with what it belongs to: `optimizer.lr`, `sgd.lr`, `erase.size`, `clip.norm`. A whole line is called by
its first word: `batch`, `optimizer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, did_you_mean
from cnnspec.language.errors import SpecError
from cnnspec.language.parser import parse
from cnnspec.language.reading import read
from cnnspec.language.record import fields, record, replace
from cnnspec.language.source import Source
from cnnspec.language.syntax import Network, Train
from cnnspec.layers.declaration import Declaration, OptionError, written
from cnnspec.layers.options import describe
from cnnspec.network.check import Checked, check_source
from cnnspec.network.recipe import lower_recipe
from cnnspec.recipe import ROLES, SCALARS, SETTINGS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from cnnspec.layers.options import Value
    from cnnspec.recipe import Recipe, RecipeKind, Setting

OF_LAYERS: Final = ("freeze", "layer_inits")
"""Fields of a recipe that speak of single layers, and are the file's own."""


@record
class Place:
    """Where a setting stands: a field of the recipe, which of several, and its option; nothing: all of it."""

    field: str
    number: int | None = None
    option: str | None = None


def check_with(path: str | os.PathLike[str], given: Mapping[str, Value]) -> Checked:
    """Check a file, `-` for the standard input, with values for parameters of its network and for settings.

    A name that both have is the network's parameter.

    Raises:
        SpecError: the file cannot be read, there is no such name, or a setting cannot have its value.
    """
    return check_source_with(read(path), given)


def check_source_with(source: Source, given: Mapping[str, Value]) -> Checked:
    """As `check_with`, of a text."""
    network = next((item for item in parse(source).tree.items if isinstance(item, Network)), None)
    own = {parameter.name.text for parameter in network.parameters} if network else set(given)
    checked = check_source(source, {name: value for name, value in given.items() if name in own})
    settings = {name: value for name, value in given.items() if name not in own}
    if network is None or not settings:
        return checked
    return replace(checked, recipe=with_settings(checked.recipe, settings, network))


def settings_of(recipe: Recipe) -> dict[str, list[Place]]:
    """What can be set, by every name that it has; a name with several places is not clear."""
    found: dict[str, list[Place]] = {}
    for names, place in _places(recipe):
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(place)
    return found


def _places(recipe: Recipe) -> Iterator[tuple[list[str], Place]]:
    for field in fields(recipe):
        held = getattr(recipe, field)
        if field in OF_LAYERS:
            continue
        if field in ROLES or field in SCALARS or field in SETTINGS:
            yield [field], Place(field)
        if isinstance(held, tuple):
            for number, item in enumerate(held):
                yield from _options(type(item), field, number)
        elif isinstance(held, Declaration):
            yield from _options(type(held), field, None)
        elif held is None:
            for option in SETTINGS[field].options():
                yield [f"{field}.{option}"], Place(field, None, option)


def _options(kind: type[Declaration], field: str, number: int | None) -> Iterator[tuple[list[str], Place]]:
    for option in kind.options():
        if option != "layers":
            names = [option, f"{field}.{option}", f"{kind.keyword}.{option}"]
            yield names, Place(field, number, option)


def with_settings(recipe: Recipe, given: Mapping[str, Value], network: Network) -> Recipe:
    """A recipe with some settings changed, whole lines before options of them.

    Raises:
        SpecError: there is no setting of a name, it is not clear which is meant, or it cannot have its value.
    """
    faults: list[Diagnostic] = []
    file = network.span.source.name
    for name in sorted(given, key=lambda name: name not in (*ROLES, *SETTINGS)):
        try:
            recipe = _with(recipe, name, given[name], network)
        except OptionError as error:
            help = (error.help,) if error.help else ()
            notes = ("the value was given from outside the file, as `--set` does",)
            message = f"`{name}` {error.message}"
            faults.append(Diagnostic("wrong-value", message, None, file=file, notes=notes, help=help))
        except SpecError as error:
            faults += error.diagnostics
    if faults:
        raise SpecError(faults)
    return recipe


def _with(recipe: Recipe, name: str, value: Value, network: Network) -> Recipe:
    known = settings_of(recipe)
    places = known.get(name)
    if places is None:
        raise SpecError([_unknown(name, known, network)])
    if len(places) > 1:
        clear = [one for one in known if one.endswith(f".{name}") and len(known[one]) == 1]
        help = "write " + " or ".join(f"`{one}`" for one in clear) if clear else None
        raise OptionError("could mean several settings", help)
    (place,) = places
    if place.option is None:
        return _whole(recipe, place.field, value)
    held = getattr(recipe, place.field)
    old = held if place.number is None else held[place.number]
    declared: Setting | RecipeKind = SETTINGS[place.field]() if old is None else old
    accepted = declared.options()[place.option].accept(value)
    new = declared.replaced(**{place.option: accepted})
    if wrong := new.misuse():
        _, message, help = wrong
        raise OptionError(f"cannot be {describe(value)}: {message}", help)
    changed: object = new
    if place.number is not None:
        changed = (*held[: place.number], new, *held[place.number + 1 :])
    return replace(recipe, **{place.field: changed})


def _whole(recipe: Recipe, field: str, value: Value) -> Recipe:
    """A line written anew, with its defaults: `optimizer=adam`, `optimizer="adam lr=0.01"`, `batch=32`."""
    if field in SCALARS:
        (option,) = SCALARS[field].options().values()
        return replace(recipe, **{field: option.accept(value)})
    text = value if isinstance(value, str) else written(value)
    parsed = parse(Source("--set", f"train {{\n{field} {text}\n}}\n"))
    train = next((item for item in parsed.tree.items if isinstance(item, Train)), None)
    lowered = lower_recipe(train, None, None)
    for fault in (*parsed.faults, *lowered.faults):
        raise OptionError(f"cannot be `{text}`: {fault.message}", "; ".join(fault.help) or None)
    return replace(recipe, **{field: getattr(lowered.recipe, field)})


def _unknown(name: str, known: Mapping[str, object], network: Network) -> Diagnostic:
    own = [parameter.name.text for parameter in network.parameters]
    message = f"network `{network.name.text}` has no parameter `{name}`, and no setting is called so"
    plain = [one for one in known if "." not in one]
    help = did_you_mean(name, [*own, *(known if "." in name else plain)])
    if not help:
        mine = (f"its parameters are {', '.join(own)}",) if own else ()
        help = (*mine, f"the settings of its `train` block are {', '.join(sorted(plain))}")
    return Diagnostic("unknown-parameter", message, network.name.span, help=help)
