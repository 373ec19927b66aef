"""Networks in other systems: `torch` makes modules of them, `onnx` models, `jax` functions.

Each is a package of its own that needs the system of its name, and says so where that is not installed. What
a layer kind is in a system is one function, found by a table; a layer that a system cannot say is reported
with its place in the file, all of them at once.
"""
