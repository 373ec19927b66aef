"""A network as a function of JAX: `to_function(graph, facts, weights)`; the common layer kinds."""

from cnnspec.bridges.needed import needed

with needed("jax"):
    import jax as _jax  # noqa: F401

from cnnspec.bridges.jax.network import Network, to_function

__all__ = ["Network", "to_function"]
