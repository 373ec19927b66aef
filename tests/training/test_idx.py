"""Damaged IDX files: every one is refused by name, and none takes more memory than the data set may have."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cnnspec.training.datasets import DataError
from cnnspec.training.datasets.idx import read_images, read_labels, read_pair
from tests.training.idx_files import header, idx

SIZE = (28, 28)
MOST = 100
BOUND_BYTES = 1_000_000
"""The largest good file has 78,416 bytes; reading a bad one may not take much more."""

GOOD = idx(10, 28, 28)
GOOD_LABELS = idx(10, below=10)
PACKED = gzip.compress(GOOD, 1)


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def bomb(promised: bytes) -> bytes:
    """The promised header, then 200 MB of zeros, packed into 200 kB."""
    return gzip.compress(promised + bytes(200_000_000), 1)


BAD_IMAGES = {
    "empty file": (b"", "ends inside its header, after 0 bytes"),
    "one byte": (b"\0", "ends inside its header, after 1 bytes"),
    "half a magic number": (GOOD[:3], "ends inside its header, after 3 bytes"),
    "magic number alone": (GOOD[:4], "ends inside its header, after 4 bytes"),
    "header without width": (GOOD[:12], "ends inside its header, after 12 bytes"),
    "header cut by one byte": (GOOD[:15], "ends inside its header, after 15 bytes"),
    "header alone": (GOOD[:16], "ends after 0 of the 7840 values that it promises"),
    "body cut in the middle": (GOOD[:4000], "ends after 3984 of the 7840 values"),
    "body cut by one byte": (GOOD[:-1], "ends after 7839 of the 7840 values"),
    "one byte too many": (GOOD + b"\0", "goes on after the 7840 values"),
    "another file behind": (GOOD + GOOD, "goes on after the 7840 values"),
    "first byte not zero": (flipped(GOOD, 0), "is not an IDX file, it begins with ff 00 08 03"),
    "second byte not zero": (flipped(GOOD, 1), "is not an IDX file, it begins with 00 ff 08 03"),
    "signed bytes": (header(10, 28, 28, kind=9) + GOOD[16:], "values of type 0x09, expected 0x08"),
    "floats": (header(10, 28, 28, kind=13) + GOOD[16:], "values of type 0x0d, expected 0x08"),
    "a text": (b"<!DOCTYPE html><html>not found</html>", "is not an IDX file, it begins with 3c 21 44 4f"),
    "little-endian sizes": (
        b"\0\0\x08\x03" + struct.pack("<3I", 10, 28, 28) + GOOD[16:],
        "holds images of 469762048x469762048, expected 28x28",
    ),
    "labels for images": (GOOD_LABELS, "has 1 axes, a file of images has 3"),
    "four axes": (header(10, 28, 28, 1) + GOOD[16:], "has 4 axes, a file of images has 3"),
    "no axes": (header() + GOOD[16:], "has 0 axes"),
    "no images": (header(0, 28, 28), "holds no images"),
    "other height": (header(10, 27, 28) + GOOD[16:], "holds images of 27x28, expected 28x28"),
    "height zero": (header(10, 0, 28), "holds images of 0x28, expected 28x28"),
    "digits of 8x8": (idx(10, 8, 8), "holds images of 8x8, expected 28x28"),
    "more images than the set has": (header(101, 28, 28) + GOOD[16:], "promises 101 images, and this data"),
    "four thousand million images": (header(2**32 - 1, 28, 28), "promises 4294967295 images"),
    "sizes whose product wraps to 0": (header(2**31, 2**31, 4), "holds images of 2147483648x4"),
    "gzip: cut in its header": (PACKED[:5], "the gzip data is damaged (it ends too early)"),
    "gzip: cut in the middle": (PACKED[:3000], "the gzip data is damaged (it ends too early)"),
    "gzip: cut in its checksum": (PACKED[:-4], "the gzip data is damaged (it ends too early)"),
    "gzip: wrong checksum": (flipped(PACKED, len(PACKED) - 6), "the gzip data is damaged (crc check failed"),
    "gzip: wrong length": (flipped(PACKED, len(PACKED) - 1), "the gzip data is damaged (incorrect length"),
    "gzip: unknown method": (flipped(PACKED, 2), "the gzip data is damaged (unknown compression method)"),
    "gzip: rubbish inside": (PACKED[:10] + b"\xff" * 500, "the gzip data is damaged (error -3"),
    "gzip: garbage behind": (PACKED + b"garbage", "the gzip data is damaged (not a gzipped file"),
    "gzip: a second member": (PACKED + PACKED, "goes on after the 7840 values"),
    "gzip: a gzip inside": (gzip.compress(PACKED), "is not an IDX file, it begins with 1f 8b"),
    "gzip: nothing inside": (gzip.compress(b""), "ends inside its header, after 0 bytes"),
    "gzip: a bomb behind a header": (bomb(header(10, 28, 28)), "goes on after the 7840 values"),
    "gzip: a bomb of zeros": (bomb(b""), "holds values of type 0x00, expected 0x08"),
}

BAD_LABELS = {
    "label 11": (header(3) + bytes([1, 11, 2]), "label 11 at position 1 is none of the classes 0 to 9"),
    "label 10": (header(3) + bytes([1, 2, 10]), "label 10 at position 2 is none of the classes 0 to 9"),
    "label 255": (header(1) + bytes([255]), "label 255 at position 0 is none of the classes"),
    "images for labels": (GOOD, "has 3 axes, a file of labels has 1"),
    "no labels": (header(0), "holds no labels"),
    "too many labels": (header(101) + bytes(101), "promises 101 labels, and this data set has at most 100"),
    "labels cut": (GOOD_LABELS[:-2], "ends after 8 of the 10 values that it promises"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_damaged_file_of_images_is_refused_by_name(case: str, tmp_path: Path):
    content, message = BAD_IMAGES[case]
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(content)
    assert_refused(path, message, lambda: read_images(path, most=MOST, size=SIZE))


@pytest.mark.parametrize("case", BAD_LABELS)
def test_a_damaged_file_of_labels_is_refused_by_name(case: str, tmp_path: Path):
    content, message = BAD_LABELS[case]
    path = tmp_path / "labels-idx1-ubyte"
    path.write_bytes(content)
    assert_refused(path, message, lambda: read_labels(path, most=MOST, classes=10))


def assert_refused(path: Path, message: str, read) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.help
    assert peak < BOUND_BYTES


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_images(tmp_path, most=MOST, size=SIZE)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere is not a file"):
        read_images(tmp_path / "nowhere", most=MOST, size=SIZE)


def test_a_name_that_promises_gzip_must_hold_it(tmp_path: Path):
    path = tmp_path / "images.gz"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match="is not a gzip file, although its name says so"):
        read_images(path, most=MOST, size=SIZE)


def test_counts_that_disagree_are_refused_with_both_names(tmp_path: Path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(GOOD)
    labels.write_bytes(idx(9, below=10))
    with pytest.raises(DataError, match=r"images holds 10 images, but .*labels holds 9 labels"):
        read_pair(images, labels, most=MOST, size=SIZE, classes=10)


@pytest.mark.parametrize("packed", [False, True])
def test_a_good_file_is_read_plain_or_packed(packed: bool, tmp_path: Path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(PACKED if packed else GOOD)
    labels.write_bytes(gzip.compress(GOOD_LABELS) if packed else GOOD_LABELS)
    x, y = read_pair(images, labels, most=MOST, size=SIZE, classes=10)
    assert x.shape == (10, 28, 28)
    assert x.tobytes() == GOOD[16:]
    assert y.dtype == np.int64
    assert y.astype(np.uint8).tobytes() == GOOD_LABELS[8:]
