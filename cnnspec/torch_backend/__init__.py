"""Training by PyTorch, on the processor or a GPU, in one process or several: `TorchBackend`."""

from cnnspec.bridges.needed import needed

with needed("torch"):
    import torch as _torch  # noqa: F401

from cnnspec.torch_backend.backend import TorchBackend

__all__ = ["TorchBackend"]
