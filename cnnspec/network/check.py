"""The whole way from a text to a checked network, each arrow one function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import Diagnostic, Label, in_order
from cnnspec.language.errors import SpecError
from cnnspec.language.parser import parse
from cnnspec.language.reading import read
from cnnspec.language.record import record
from cnnspec.language.syntax import Block, File, Network, Train, Use
from cnnspec.network.analyse import analyse
from cnnspec.network.bind import network_parameters
from cnnspec.network.blocks import gather_blocks
from cnnspec.network.expect import check_expectations
from cnnspec.network.graph import Facts, Graph
from cnnspec.network.learning import check_learning, freeze_layers
from cnnspec.network.lint import Subject, silenced, warnings
from cnnspec.network.lower import lower
from cnnspec.network.recipe import check_agreement, lower_recipe

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from cnnspec.language.source import Source, Span
    from cnnspec.layers.options import Value
    from cnnspec.recipe import Recipe


@record
class Checked:
    """Everything that is known of a file: its tree, graph, facts and recipe, and the findings.

    Where there are errors, graph and facts hold what could be found out, and no graph where there is no
    network at all.
    """

    source: Source
    tree: File
    graph: Graph | None
    facts: Facts
    recipe: Recipe
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no errors."""
        return not any(diagnostic.is_error for diagnostic in self.diagnostics)

    def network(self) -> tuple[Graph, Facts]:
        """Graph and facts of a network without errors.

        Raises:
            SpecError: there are errors, or the file holds nothing but blocks.
        """
        if not self.ok:
            raise SpecError(self.diagnostics)
        if self.graph is None:
            raise SpecError([_no_network(self.tree)])
        return self.graph, self.facts


def check_file(path: str | os.PathLike[str], parameters: Mapping[str, Value] | None = None) -> Checked:
    """Check a file, `-` for the standard input, with values for the parameters of its network.

    Raises:
        SpecError: the file cannot be read.
    """
    return check_source(read(path), parameters)


def check_source(source: Source, parameters: Mapping[str, Value] | None = None) -> Checked:
    """Check a text. Never fails: all that is wrong is in the diagnostics.

    `parameters` are values for the parameters of the network, in place of their defaults.
    """
    parsed = parse(source)
    faults = list(parsed.faults)
    network, train = _only(parsed.tree, faults)
    graph, facts = None, Facts()
    table, faulty = gather_blocks(parsed.tree)
    faults += faulty
    if network is not None:
        values, wrong = network_parameters(network, parameters)
        lowered = lower(network, table, values)
        analysed = analyse(lowered.graph)
        graph, facts = lowered.graph, analysed.facts
        faults += [*wrong, *lowered.faults, *analysed.faults]
    recipe = lower_recipe(train, graph, facts)
    if graph is not None:
        facts = freeze_layers(graph, facts, recipe.recipe.freeze)
    if graph is not None and not faults:
        faults += check_learning(graph, facts, recipe)
    faults += recipe.faults
    if graph is not None and not faults:
        faults += _whole_network(graph, facts, recipe.recipe, recipe.places)
    if not faults:
        faults += _warnings(parsed.tree, graph, facts, recipe.recipe, settled=not parameters)
    return Checked(source, parsed.tree, graph, facts, recipe.recipe, in_order(faults))


def _whole_network(
    graph: Graph, facts: Facts, recipe: Recipe, places: Mapping[str, Span]
) -> Iterable[Diagnostic]:
    """What can only be asked of a network all of whose layers are known."""
    yield from check_expectations(graph, facts)
    if "data" in places:  # a file that names no data set is trained on whatever is given
        yield from check_agreement(graph, facts, recipe, places)


def _warnings(
    tree: File, graph: Graph | None, facts: Facts, recipe: Recipe, *, settled: bool
) -> Iterable[Diagnostic]:
    """What a file without errors is warned of, but for what its comments allow.

    A comment may be there for other parameters than those of this check, or for the uses of a block in other
    files: that it silences nothing is said only of a network, with the parameters of its file (`settled`).
    """
    nothing = Graph("", (), (), (), (), tree.source.span(0, 0))
    found = warnings(Subject(tree, graph or nothing, facts, recipe))
    return silenced(found, tree.source, useless=settled and graph is not None)


def _no_network(tree: File) -> Diagnostic:
    help = ("begin with `network Name {`, then `input 1x28x28` and one layer a line",)
    return Diagnostic("no-network", "the file holds no network", None, file=tree.source.name, help=help)


def _head(block: Span) -> Span:
    """The word `train` that opens a block."""
    return block.source.span(block.start, block.start + len("train"))


def _only(tree: File, faults: list[Diagnostic]) -> tuple[Network | None, Train | None]:
    """The network and the train block of a file, which has one network and at most one train block."""
    networks = [item for item in tree.items if isinstance(item, Network)]
    trains = [item for item in tree.items if isinstance(item, Train)]
    for extra in networks[1:]:
        first = Label(networks[0].name.span, "the first network")
        message = f"a second network, `{extra.name.text}`: a file holds one"
        faults.append(Diagnostic("second-network", message, extra.name.span, labels=(first,)))
    for block in trains[1:]:
        first = Label(_head(trains[0].span), "the first one")
        message = "a second `train` block: a file holds one"
        faults.append(Diagnostic("second-train", message, _head(block.span), labels=(first,)))
    library = any(isinstance(item, Block | Use) for item in tree.items)
    if not networks and not faults and not library:
        faults.append(_no_network(tree))
    return networks[0] if networks else None, trains[0] if trains else None
