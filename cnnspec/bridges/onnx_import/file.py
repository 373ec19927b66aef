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
    return model
