"""Data sets in files of one's own: what is read is what was written, and streams give what arrays give."""

import struct
import wave

import numpy as np
import pytest

from cnnspec.recipe.data import Csv, Images, Npz, Wav
from cnnspec.training.datasets import load_data, room
from cnnspec.training.datasets.load import data_bytes, image_count


@pytest.fixture(params=[False, True], ids=["in memory", "streamed"])
def streamed(request, monkeypatch):
    """Whether nothing fits in memory."""
    if request.param:
        monkeypatch.setattr(room, "fits", lambda size: size < 10_000)
    return request.param


def all_of(x):
    return x if isinstance(x, np.ndarray) else x.rows(np.arange(len(x)))


def samples(kind):
    """Samples, labels and parts of a data set: train first."""
    data = load_data(kind)
    count = len(data.train_y) + len(data.test_y)
    assert count <= image_count(kind)
    stored = sum(x.nbytes for x in (data.train_x, data.test_x) if isinstance(x, np.ndarray))
    assert stored <= data_bytes(kind)
    return data, all_of(data.train_x), all_of(data.test_x)


# --- images ---------------------------------------------------------------------------------------------


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image")


def pixels(number, shape=(6, 5, 3)):
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def write_images(image, root, classes=("cat", "dog"), count=10, shape=(6, 5, 3)):
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image.fromarray(pixels(100 * label + number, shape)).save(root / name / f"{number:02}.png")


def test_images_are_those_of_the_files(image, tmp_path, streamed):
    write_images(image, tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("not an image")
    data, train, test = samples(Images(path=str(tmp_path / "photos")))
    assert isinstance(data.train_x, np.ndarray) != streamed or train.nbytes < 10_000
    assert data.class_names == ("cat", "dog")
    assert (len(train), len(test)) == (16, 4)
    assert np.bincount(data.test_y).tolist() == [2, 2]
    written = {
        (label, pixels(100 * label + n).transpose(2, 0, 1).tobytes()) for label in (0, 1) for n in range(10)
    }
    read = [
        (int(y), np.round(x * 255).astype(np.uint8).tobytes())
        for x, y in zip((*train, *test), (*data.train_y, *data.test_y), strict=True)
    ]
    assert set(read) == written
    assert len(read) == len(written)


def test_the_split_follows_from_its_number_alone(image, tmp_path):
    write_images(image, tmp_path)
    kinds = [Images(path=str(tmp_path), split=split) for split in (0, 0, 1)]
    one, same, other = (load_data(kind).test_x.tobytes() for kind in kinds)
    assert one == same
    assert one != other


def test_images_are_resized_and_grey_as_pillow_does_it(image, tmp_path, streamed):
    write_images(image, tmp_path, shape=(40, 30, 3))
    _, train, _ = samples(Images(path=str(tmp_path), resize=(8, 9), gray=True))
    assert train.shape[1:] == (1, 8, 9)
    picture = image.fromarray(pixels(0, (40, 30, 3))).convert("L").resize((9, 8), image.Resampling.BILINEAR)
    expected = (np.asarray(picture, np.float32) / 255)[None]
    everything = (*train, *samples(Images(path=str(tmp_path), resize=(8, 9), gray=True))[2])
    assert any(np.array_equal(expected, x) for x in everything)


def test_a_photo_is_turned_upright(image, tmp_path):
    write_images(image, tmp_path, count=2, shape=(4, 4, 3))
    exif = image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    original = pixels(7, (4, 4, 3))
    for name in ("00", "01"):
        image.fromarray(original).save(tmp_path / "cat" / f"{name}.png", exif=exif)
    data = load_data(Images(path=str(tmp_path)))
    cat = data.train_x[data.train_y == 0][0]
    np.testing.assert_array_equal(np.round(cat * 255).transpose(1, 2, 0), np.rot90(original, -1))


def test_palettes_transparency_and_jpeg_become_colours(image, tmp_path):
    write_images(image, tmp_path, count=2)
    picture = image.fromarray(pixels(3))
    picture.convert("P").save(tmp_path / "cat" / "palette.png")
    picture.convert("RGBA").save(tmp_path / "cat" / "alpha.png")
    picture.convert("1").save(tmp_path / "cat" / "bits.png")
    picture.convert("CMYK").save(tmp_path / "cat" / "print.jpg")
    data = load_data(Images(path=str(tmp_path)))
    assert data.train_x.shape[1:] == (3, 6, 5)


def test_folders_train_and_test_are_the_parts(image, tmp_path):
    write_images(image, tmp_path / "train", count=3)
    write_images(image, tmp_path / "test", count=1)
    data = load_data(Images(path=str(tmp_path)))
    assert (len(data.train_y), len(data.test_y)) == (6, 2)
    assert load_data(Images(path=str(tmp_path), limit=2)).train_y.tolist() == [0, 0, 1, 1]


# --- recordings -----------------------------------------------------------------------------------------


def write_wav(path, frames, width, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)


NUMBERS = [-1.0, -0.5, 0.0, 0.25, 0.5]
FRAMES = {
    1: bytes([0, 64, 128, 160, 192]),
    2: struct.pack("<5h", -(2**15), -(2**14), 0, 2**13, 2**14),
    3: b"".join(struct.pack("<i", n << 8)[1:] for n in (-(2**23), -(2**22), 0, 2**21, 2**22)),
    4: struct.pack("<5i", -(2**31), -(2**30), 0, 2**29, 2**30),
}


@pytest.mark.parametrize("width", FRAMES)
def test_recordings_are_numbers_from_minus_one_to_one(tmp_path, width, streamed):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(3):
            write_wav(tmp_path / name / f"{number}.wav", FRAMES[width], width)
    _, long, _ = samples(Wav(path=str(tmp_path), length=800, rate=8000))
    np.testing.assert_array_equal(long[0, 0, :5], NUMBERS)
    assert not long[..., 5:].any(), "silence at the end"
    _, short, _ = samples(Wav(path=str(tmp_path), length=3, rate=8000))
    np.testing.assert_array_equal(short[0, 0], NUMBERS[:3])


def test_other_chunks_of_a_recording_are_passed_over(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(2):
            path = tmp_path / name / f"{number}.wav"
            write_wav(path, FRAMES[2], 2)
            content = path.read_bytes()
            path.write_bytes(content[:12] + b"LIST\x03\0\0\0abc\0" + content[12:] + b"id3 \x02\0\0\0hi")
    data = load_data(Wav(path=str(tmp_path), length=5, rate=8000))
    np.testing.assert_array_equal(data.train_x[0, 0], NUMBERS)


# --- arrays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7,), (2, 30), (3, 8, 9), (1, 4, 5, 6)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int16", ">f4"])
def test_arrays_are_read_as_numbers(tmp_path, shape, dtype, streamed):
    x = (np.random.default_rng(0).random((60, *shape)) * 100).astype(dtype)
    y = np.arange(60) % 3
    np.savez(tmp_path / "some.npz", x=x, y=y)
    data, train, test = samples(Npz(path=str(tmp_path / "some.npz"), test=0.1))
    assert (len(train), len(test)) == (54, 6)
    assert train.dtype == np.float32
    scale = 255 if dtype == "uint8" else 1
    expected = {(row.astype(np.float32) / np.float32(scale)).tobytes() for row in x}
    assert {row.tobytes() for row in (*train, *test)} == expected
    assert data.class_names == ("0", "1", "2")
    labels = {row.astype(np.float32).tobytes(): label for row, label in zip(x, y, strict=True)}
    if scale == 1:
        assert all(labels[row.tobytes()] == label for row, label in zip(train, data.train_y, strict=True))


def test_large_compressed_arrays_are_refused_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "fits", lambda size: size < 10_000)
    np.savez_compressed(tmp_path / "some.npz", x=np.zeros((60, 1, 100), np.float32), y=np.arange(60) % 3)
    with pytest.raises(Exception, match=r"too large for the memory .* and is compressed"):
        load_data(Npz(path=str(tmp_path / "some.npz")))


def test_fortrans_order_is_kept(tmp_path):
    x = np.asfortranarray(np.random.default_rng(0).random((9, 2, 5), np.float32))
    np.savez(tmp_path / "some.npz", x_train=x, y_train=np.arange(9) % 3, x_test=x, y_test=np.arange(9) % 3)
    data = load_data(Npz(path=str(tmp_path / "some.npz")))
    np.testing.assert_array_equal(data.train_x, x)
    np.testing.assert_array_equal(data.test_x, x)


def test_parts_of_their_own_can_be_normalised(tmp_path):
    x = np.random.default_rng(0).random((9, 2, 5), np.float32)
    y = np.arange(9) % 3
    np.savez(tmp_path / "some.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = load_data(Npz(path=str(tmp_path / "some.npz"), normalize=True))
    np.testing.assert_allclose(data.train_x.mean((0, 2)), 0, atol=1e-6)


def test_targets_are_numbers_and_have_a_shape(tmp_path, streamed):
    random = np.random.default_rng(0)
    x, y = random.random((40, 1, 90), np.float32), random.random(40)
    np.savez(tmp_path / "one.npz", x=x, y=y)
    np.savez(tmp_path / "two.npz", x=x, y=np.stack([y, y], 1))
    one, two = (load_data(Npz(path=str(tmp_path / f"{name}.npz"), test=0.25)) for name in ("one", "two"))
    assert one.class_names == two.class_names == ()
    assert one.train_y.shape == (30, 1)
    assert two.test_y.shape == (10, 2)
    assert one.train_y.dtype == np.float32
    pairs = {row.tobytes(): np.float32(target) for row, target in zip(x, y, strict=True)}
    for row, target in zip(all_of(one.train_x), one.train_y[:, 0], strict=True):
        assert pairs[row.tobytes()] == target


def test_names_of_classes_may_come_along(tmp_path):
    names = np.array(["cat", "dog", "cow"])
    np.savez(tmp_path / "some.npz", x=np.zeros((9, 2)), y=np.arange(9) % 3, class_names=names)
    assert load_data(Npz(path=str(tmp_path / "some.npz"))).class_names == ("cat", "dog", "cow")


# --- series ---------------------------------------------------------------------------------------------


def test_windows_and_targets_are_those_of_the_table(tmp_path):
    table = np.random.default_rng(0).random((100, 3))
    lines = [",".join(map(repr, map(float, row))) for row in table]
    (tmp_path / "some.csv").write_text("\n".join(["load, temp ,wind", *lines]) + "\n\n")
    kind = Csv(path=str(tmp_path / "some.csv"), window=8, step=3, ahead=2, target="temp")
    data, train, test = samples(kind)
    table = table.astype(np.float32)
    for x, y, first in ((train, data.train_y, 0), (test, data.test_y, 80)):
        for number, (window, target) in enumerate(zip(x, y, strict=True)):
            start = first + 3 * number
            np.testing.assert_array_equal(window, table[start : start + 8].T)
            np.testing.assert_array_equal(target, table[[start + 8 + 1], 1])
    assert (len(train), len(test)) == (24, 4)
    assert 3 * 23 + 10 <= 80 < 3 * 24 + 10, "no window reaches into the test part, and none is missing"


@pytest.mark.parametrize(
    "text",
    ["1,2\n3,4\n5,6\n7,8\n", "a,b\r\n1,2\r\n3,4\r\n5,6\r\n7,8", "\ufeffa,b\n1, 2\n3, 4\n\n5,6e0\n7,+8\n"],
)
def test_tables_may_be_written_in_several_ways(tmp_path, text):
    (tmp_path / "some.csv").write_text(text, encoding="utf-8", newline="")
    data = load_data(Csv(path=str(tmp_path / "some.csv"), window=1))
    np.testing.assert_array_equal(data.train_y, [[4]])
    np.testing.assert_array_equal(all_of(data.test_x), [[[5], [6]]])
