"""A network as a PyTorch module: `to_module(graph, facts, weights)`."""

from cnnspec.bridges.needed import needed

with needed("torch"):
    import torch as _torch  # noqa: F401

from cnnspec.bridges.torch.network import Network, to_module

__all__ = ["Network", "to_module"]
