"""Layers in plain NumPy, written to be read: forward and backward one above the other.

A file that `cnnspec export --to numpy` writes holds those of these classes that its network needs, word for
word. Arrays are N x C x H x W, with any number of spatial axes. A layer keeps from `forward` what `backward`
needs; `backward` takes the gradient of its output, fills `gradients`, and gives those of its inputs.
"""
