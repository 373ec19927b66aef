"""A model from its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from onnx import ModelProto


class NotAModel(Exception):  # noqa: N818 - a state of the file
    """A file holds no ONNX model."""


def load_model(path: Path) -> ModelProto:
    """The model in a file, with the data that it keeps in files beside it.

    Raises:
        NotAModel: there is none, or its data are not there.
    """
    try:
        model = onnx.load(str(path))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise NotAModel(f"`{path}` cannot be read: {str(error).splitlines()[0]}") from None
    except Exception as error:  # what protobuf raises has no name that all its versions share
        if type(error).__name__ != "DecodeError":
            raise
        raise NotAModel(f"`{path}` is no ONNX model") from None
    if not model.graph.output:
        raise NotAModel(f"`{path}` is no ONNX model: it gives nothing")
    if (fault := _fault(model)) is not None:
        raise NotAModel(f"`{path}` is no valid ONNX model: {fault}")
    return model


def _fault(model: ModelProto) -> str | None:
    """What breaks the rules of the format; operators that ONNX does not know may still be told by name."""
    open_outputs = [value.type.tensor_type for value in model.graph.output]
    open_outputs = [tensor for tensor in open_outputs if not tensor.HasField("shape")]
    for tensor in open_outputs:  # the rules ask for a shape, of which exporters may know nothing
        tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        said = str(error).strip().splitlines()[0]
        return None if "No Op registered" in said or "No opset import" in said else said
    except ValueError:  # too large to be checked in memory
        return None
    finally:
        for tensor in open_outputs:
            tensor.ClearField("shape")
    made = {value.name for value in (*model.graph.input, *model.graph.initializer)}
    made.update(name for node in model.graph.node for name in node.output)
    lost = [f"`{value.name}`" for value in model.graph.output if value.name not in made]
    return f"nothing makes its output {lost[0]}" if lost else None
