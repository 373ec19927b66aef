"""What is published about the data sets in IDX files: their sizes, checksums, mirrors and class names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TRAIN_IMAGES: Final = "train-images-idx3-ubyte"
TRAIN_LABELS: Final = "train-labels-idx1-ubyte"
TEST_IMAGES: Final = "t10k-images-idx3-ubyte"
TEST_LABELS: Final = "t10k-labels-idx1-ubyte"
IDX_NAMES: Final = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

DIGIT_NAMES: Final = tuple("0123456789")
MAX_DOWNLOAD_BYTES: Final = 256 * 2**20
"""No published file is larger than two thirds of this."""

KMNIST_NAMES: Final = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True, slots=True)
class Download:
    """One published file, its name, its checksum, and the addresses, ending in `/`, that it is had from."""

    title: str
    mirrors: tuple[str, ...]
    name: str
    md5: str


@dataclass(frozen=True, slots=True)
class Published:
    """A data set of four IDX files.

    Attributes:
        title: its name in messages.
        folders: names of the subfolder it is looked for in; downloads go to the first.
        mirrors: addresses that end in `/`, tried in order.
        md5: checksum of each gzip file, by the name of the plain one.
        train_count: images of the training part; no file may hold more.
        test_count: images of the test part.
        class_names: the name of each class, by number.
    """

    title: str
    folders: tuple[str, ...]
    mirrors: tuple[str, ...]
    md5: dict[str, str]
    class_names: tuple[str, ...]
    train_count: int = 60_000
    test_count: int = 10_000


MNIST: Final = Published(
    title="MNIST",
    folders=("mnist", "MNIST/raw"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5={
        TRAIN_IMAGES: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        TRAIN_LABELS: "d53e105ee54ea40749a09fcbcd1e9432",
        TEST_IMAGES: "9fb629c4189551a2d022fa330f9573f3",
        TEST_LABELS: "ec29112dd5afa0611ce80d1b7f02629c",
    },
    class_names=DIGIT_NAMES,
)

FASHION_MNIST: Final = Published(
    title="Fashion-MNIST",
    folders=("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        # The authors' own site does not speak https; the checksum guards what it sends.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    md5={
        TRAIN_IMAGES: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        TRAIN_LABELS: "25c81989df183df01b3e8a0aad5dffbe",
        TEST_IMAGES: "bef4ecab320f06d8554ea6380940ec79",
        TEST_LABELS: "bb300cfdad3c16e7a12a480ee83cd310",
    },
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)

KMNIST: Final = Published(
    title="Kuzushiji-MNIST",
    folders=("kmnist", "KMNIST/raw"),
    # Its only home, which does not speak https; the checksum guards what it sends.
    mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    md5={
        TRAIN_IMAGES: "bdb82020997e1d708af4cf47b453dcf7",
        TRAIN_LABELS: "e144d726b3acfaa3e44228e80efcd344",
        TEST_IMAGES: "5c965bf0a639b31b8f53240b1b52f4d7",
        TEST_LABELS: "7320c461ea6c1c855c0b718fb2a4b134",
    },
    class_names=KMNIST_NAMES,
)

PUBLISHED: Final = {"mnist": MNIST, "fashion_mnist": FASHION_MNIST, "kmnist": KMNIST}
