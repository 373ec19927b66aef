"""The NumPy backend: from a checked network to an executable model."""

from cnnspec.numpy_backend.model import BatchResult, Model, compile_graph
from cnnspec.numpy_backend.plan import Plan, make_plan

__all__ = ["BatchResult", "Model", "Plan", "compile_graph", "make_plan"]
