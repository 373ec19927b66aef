"""cnnspec from Python: check a network, compute the lecture's convolution by hand, train a few steps.

Run it from anywhere: `python examples/from_python.py`.
"""

from pathlib import Path

import numpy as np

import cnnspec
from cnnspec.training import load_data

LECTURE = Path(__file__).parent / "lecture"
KERNEL = np.array([0, 1, 2, 3], np.float32)


def show_a_network() -> None:
    """Load a file, print its table, and ask for single figures."""
    network = cnnspec.load(LECTURE / "11_lenet.cnn")
    print(network)

    conv2 = next(layer for layer in network.layers if layer.name == "conv2")
    print(f"\nconv2 gives {conv2.output_shape} with {conv2.params:,} parameters")
    print(f"the whole network has {network.totals.params:,}")


def find_a_mistake() -> None:
    """A network that cannot work is refused before anything runs; the error says where and why."""
    try:
        cnnspec.loads("network Broken {\n    input 1x14x14\n    conv 16 25x25\n}\n", "broken.cnn")
    except cnnspec.SpecError as error:
        print(error)
        print("the codes:", [finding.code for finding in error.diagnostics])


def compute_the_convolution() -> np.ndarray:
    """The lecture's neuron with the parameters [0, 1, 2, 3] on the image 0 to 8: 19, 25, 37, 43."""
    network = cnnspec.load(LECTURE / "02_convolution.cnn")
    model = network.compile(batch=1)
    model.weights["conv1.weight"] = KERNEL.reshape(1, 1, 2, 2)  # out, in, height, width
    model.weights["conv1.bias"] = np.zeros(1, np.float32)

    image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)  # N x C x H x W
    output = np.asarray(model.forward(image))
    model.close()
    print(output[0, 0])
    return output


def train_some_steps(steps: int = 60) -> tuple[list[float], float]:
    """A small network learns the handwritten digits that come with the package, batch by batch."""
    network = cnnspec.loads(
        """
        network Digits {
            input 1x8x8
            conv 8 3x3 padding=1 -> relu : 8x8x8
            maxpool 2x2                  : 8x4x4
            dense 10 -> softmax          : 10
        }

        train {
            data digits normalize=true
            optimizer sgd lr=0.1 momentum=0.9
        }
        """
    )
    digits = load_data(network.recipe.data)
    model = network.compile(batch=64, seed=0)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        batch = random.integers(0, len(digits.train_x), size=64)
        losses.append(model.train_step(digits.train_x[batch], digits.train_y[batch]))

    answers = np.argmax(np.asarray(model.predict(digits.test_x)), axis=1)
    accuracy = float(np.mean(answers == digits.test_y))
    model.close()
    print(f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} after {steps} steps")
    print(f"{accuracy:.0%} of the digits it has not seen are right; `cnnspec.train` runs whole epochs")
    return losses, accuracy


if __name__ == "__main__":
    show_a_network()
    find_a_mistake()
    compute_the_convolution()
    train_some_steps()
