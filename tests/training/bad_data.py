"""Data files that nobody can learn from: how each is made, and what is said of it.

`python -m tests.training.bad_data FOLDER` makes and reads them all, and prints how each was refused and the
most memory that the process has had.
"""

import io
import json
import pickle
import resource
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cnnspec.recipe.data import Cifar10, Csv, Images, Npz, Wav
from cnnspec.training.datasets import DataError, load_data
from cnnspec.training.datasets.cifar import RECORD_BYTES
from cnnspec.training.datasets.load import data_bytes, image_count

CASES = {}
"""By name: what makes the files in a folder and gives the data set, and a part of the message."""


def case(message):
    def register(make):
        CASES[make.__name__.strip("_").replace("_", " ")] = (make, message)
        return make

    return register


def read(make, folder):
    """The way of `cnnspec run`: count, then load."""
    kind = make(folder)
    data_bytes(kind)
    image_count(kind)
    return load_data(kind, folder)


# --- images ---------------------------------------------------------------------------------------------


def png(width=4, height=4, bits=8, colour=0, rows=None, extra=b""):
    """A PNG file, chunk by chunk."""
    content = b"".join(b"\0" + bytes(width) for _ in range(height)) if rows is None else rows
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in parts[:1]:
        out += chunk(name, body) + extra
    return out + b"".join(chunk(name, body) for name, body in parts[1:])


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def photos(folder, bad=None, name="a/bad.png", count=3):
    """Three good images in each of two classes, and a bad one."""
    for letter in "ab":
        (folder / "photos" / letter).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / "photos" / letter / f"{number}.png").write_bytes(png())
    if bad is not None:
        (folder / "photos" / name).write_bytes(bad)
    return Images(path=str(folder / "photos"), gray=True)


@case("there is no folder .*fotos")
def images_missing(folder):
    photos(folder)
    return Images(path=str(folder / "fotos"))


@case("photos is a file, and a folder is needed")
def images_in_a_file(folder):
    (folder / "photos").write_text("")
    return Images(path=str(folder / "photos"))


@case("photos has no sub-folders")
def images_in_an_empty_folder(folder):
    (folder / "photos").mkdir()
    return Images(path=str(folder / "photos"))


@case("one sub-folder, `images`")
def images_of_one_class(folder):
    (folder / "photos" / "images").mkdir(parents=True)
    return Images(path=str(folder / "photos"))


@case("photos: class `c` has no samples")
def images_with_an_empty_class(folder):
    kind = photos(folder)
    (folder / "photos" / "c").mkdir()
    return kind


@case("photos: class `a` has 1 sample")
def images_with_a_class_of_one(folder):
    return photos(folder, count=1)


@case(r"bad.png: is not an image in PNG or JPEG")
def images_text_as_png(folder):
    return photos(folder, b"this is text\n")


@case(r"bad.png: is not an image in PNG or JPEG \(it is empty\)")
def images_empty_file(folder):
    return photos(folder, b"")


@case(r"bad.png: is not an image in PNG or JPEG")
def images_gif_as_png(folder):
    return photos(folder, b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04")


@case("bad.png: the image is damaged")
def images_truncated_png(folder):
    random = np.random.default_rng(0).integers(0, 256, (4, 5)).astype(np.uint8)
    random[:, 0] = 0
    return photos(folder, png(rows=random.tobytes())[:-30])


@case("bad.jpg: the image is damaged")
def images_truncated_jpeg(folder):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)).save(buffer, "JPEG")
    kind = photos(folder, buffer.getvalue()[: len(buffer.getvalue()) // 2], "a/bad.jpg")
    return kind.replaced(resize=8)


@case("bad.png: (the image is damaged|is not an image)")
def images_flipped_bytes(folder):
    content = bytearray(png())
    content[45] ^= 0xFF
    return photos(folder, bytes(content))


@case("bad.png: has too many pixels \\(3600000000 pixels\\)")
def images_bomb_by_header(folder):
    return photos(folder, png(60_000, 60_000, rows=b"\0"))


@case("bad.png: has too many pixels .*8000x8000")
def images_bomb_below_pillows_limit(folder):
    return photos(folder, png(8000, 8000, bits=1, rows=b"\0" * 1001 * 8000))


@case("bad.png: (has too many pixels|is not an image)")
def images_bomb_of_the_largest_size(folder):
    return photos(folder, png(2**31 - 1, 2**31 - 1, rows=b"\0"))


@case("bad.png: (is not an image|the image is damaged)")
def images_bomb_in_a_comment(folder):
    text = b"Comment\0\0" + zlib.compress(bytes(200 * 2**20))
    return photos(folder, png(extra=chunk(b"zTXt", text)))


@case("bad.png: (is not an image|the image is damaged|is 0x)")
def images_of_no_width(folder):
    return photos(folder, png(0, 4, rows=b""))


@case("bad.png: has more than 8 bits a channel")
def images_of_sixteen_bits(folder):
    return photos(folder, png(bits=16, rows=b"".join(b"\0" + bytes(8) for _ in range(4))))


@case("bad.png: is 5x7, and .*0.png is 4x4")
def images_of_two_sizes(folder):
    return photos(folder, png(7, 5))


@case("bad.gif: cannot be read")
def images_in_another_format(folder):
    return photos(folder, b"GIF89a", "b/bad.gif")


@case("inner is a folder within a class")
def images_in_folders_of_classes(folder):
    kind = photos(folder)
    (folder / "photos" / "a" / "inner").mkdir()
    return kind


@case("bad.png is not a file")
def images_folder_with_the_name_of_one(folder):
    kind = photos(folder)
    (folder / "photos" / "a" / "bad.png").mkdir()
    return kind


@case("bad.png is not a file")
def images_link_to_nothing(folder):
    kind = photos(folder)
    (folder / "photos" / "a" / "bad.png").symlink_to("nothing.png")
    return kind


@case("there is no class `z` in the training part")
def images_with_a_class_in_the_test_alone(folder):
    root = folder / "photos"
    for part, letters in (("train", "ab"), ("test", "abz")):
        for letter in letters:
            (root / part / letter).mkdir(parents=True)
            (root / part / letter / "0.png").write_bytes(png())
    return Images(path=str(root))


@case("photos/test holds no images")
def images_without_a_test_part(folder):
    root = folder / "photos"
    for letter in "ab":
        (root / "train" / letter).mkdir(parents=True)
        (root / "train" / letter / "0.png").write_bytes(png())
    (root / "test").mkdir()
    return Images(path=str(root))


@case("photos/train: class `b` has no samples")
def images_with_an_empty_class_to_train(folder):
    root = folder / "photos"
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (root / place).mkdir(parents=True)
        (root / place / "0.png").write_bytes(png())
    (root / "train/b/0.png").unlink()
    return Images(path=str(root))


# --- arrays ---------------------------------------------------------------------------------------------

X = np.random.default_rng(0).random((12, 1, 4), np.float32)
Y = np.arange(12) % 3


def npz(folder, save=np.savez, **arrays):
    path = folder / "bad.npz"
    save(path, **arrays)
    return Npz(path=str(path))


def npz_of(folder, content):
    (folder / "bad.npz").write_bytes(content)
    return Npz(path=str(folder / "bad.npz"))


def archive(**entries):
    """The bytes of an archive with these contents of `.npy` files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text):
    body = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


@case("there is no file .*bad.npz")
def npz_missing(folder):
    return Npz(path=str(folder / "bad.npz"))


@case("bad.npz is a folder, and a file is needed")
def npz_folder(folder):
    (folder / "bad.npz").mkdir()
    return Npz(path=str(folder / "bad.npz"))


@case("bad.npz: is not an archive of NumPy arrays")
def npz_empty(folder):
    return npz_of(folder, b"")


@case("bad.npz: is not an archive of NumPy arrays")
def npz_text(folder):
    return npz_of(folder, b"x, y\n1, 2\n")


@case("bad.npz: is not an archive of NumPy arrays")
def npz_truncated(folder):
    return npz_of(folder, archive(x=npy(X), y=npy(Y))[:-40])


@case("bad.npz: is not an archive of NumPy arrays")
def npz_that_is_one_array(folder):
    return npz_of(folder, npy(X))


@case("bad.npz: has no array `x`; it holds `images`")
def npz_of_other_names(folder):
    return npz(folder, images=X, labels=Y)


@case("bad.npz: has no array `y`")
def npz_without_labels(folder):
    return npz(folder, x=X)


@case("bad.npz: has no array `y_test`")
def npz_without_test_labels(folder):
    return npz(folder, x_train=X, y_train=Y, x_test=X)


@case("bad.npz: `x` holds Python objects")
def npz_of_objects(folder):
    return npz(folder, x=np.array([{}] * 12, object), y=Y)


@case("bad.npz: `y` holds Python objects")
def npz_of_objects_as_labels(folder):
    return npz(folder, x=X, y=np.array(["cat"] * 12, object))


@case("bad.npz: `y` is of <U3, and must hold numbers")
def npz_of_texts(folder):
    return npz(folder, x=X, y=np.array(["cat"] * 12))


@case("bad.npz: `x` is of complex64")
def npz_of_complex_numbers(folder):
    return npz(folder, x=X.astype(np.complex64), y=Y)


@case("bad.npz: `x` holds 12 samples, but `y` 11 labels")
def npz_of_two_lengths(folder):
    return npz(folder, x=X, y=Y[:-1])


@case("bad.npz: `x` holds 12 samples, but `y` 1 label")
def npz_of_one_label(folder):
    return npz(folder, x=X, y=np.int64(3))


@case("bad.npz: `x` is 0x1x4: it holds no samples")
def npz_of_nothing(folder):
    return npz(folder, x=X[:0], y=Y[:0])


@case("bad.npz: `x` is 12: it needs 2 to 5 axes")
def npz_of_one_axis(folder):
    return npz(folder, x=X[:, 0, 0], y=Y)


@case("bad.npz: `x` is 12x1x1x1x1x4: it needs")
def npz_of_six_axes(folder):
    return npz(folder, x=X[:, None, None, None], y=Y)


@case("bad.npz: `y`: label -1 of sample 4")
def npz_with_a_negative_label(folder):
    return npz(folder, x=X, y=np.where(np.arange(12) == 4, -1, Y))


@case("bad.npz: `y`: label 1000000000 of sample 2")
def npz_with_a_huge_label(folder):
    return npz(folder, x=X, y=np.where(np.arange(12) == 2, 10**9, Y))


@case("bad.npz: `y`: label 18446744073709551615 of sample 2")
def npz_with_a_label_beyond_64_bits(folder):
    return npz(folder, x=X, y=np.where(np.arange(12) == 2, np.uint64(2**64 - 1), Y.astype(np.uint64)))


@case("bad.npz: `y`: class `1` has no samples")
def npz_with_a_gap_in_the_classes(folder):
    return npz(folder, x=X, y=Y * 2)


@case("bad.npz: `y`: all labels are alike")
def npz_with_one_class(folder):
    return npz(folder, x=X, y=Y * 0)


@case("bad.npz: `y`: class `3` has 1 sample")
def npz_with_a_class_of_one(folder):
    return npz(folder, x=X, y=np.where(np.arange(12) == 5, 3, Y))


@case(r"bad.npz: `x`: sample 7 holds nan at \(0, 2\)")
def npz_with_nan(folder):
    x = X.copy()
    x[7, 0, 2] = np.nan
    return npz(folder, x=x, y=Y)


@case("bad.npz: `x`: sample 0 holds -inf")
def npz_with_infinity(folder):
    x = X.copy()
    x[0, 0, 0] = -np.inf
    return npz(folder, np.savez_compressed, x=x, y=Y)


@case("bad.npz: `x`, as 32-bit numbers: sample 3 holds inf")
def npz_beyond_float32(folder):
    x = X.astype(np.float64)
    x[3] = 1e300
    return npz(folder, x=x, y=Y)


@case("bad.npz: `y`: label 1 holds nan")
def npz_with_a_target_that_is_none(folder):
    return npz(folder, x=X, y=np.where(np.arange(12) == 1, np.nan, 0.5))


@case("bad.npz: `y` is 12x3 of whole numbers")
def npz_of_vectors_as_labels(folder):
    return npz(folder, x=X, y=np.eye(3, dtype=np.int64)[Y])


@case("bad.npz: samples of `x_train` are 1x4, those of `x_test` 1x3")
def npz_with_another_shape_to_test(folder):
    return npz(folder, x_train=X, y_train=Y, x_test=X[..., :3], y_test=Y)


@case("bad.npz: `y_test`: label 5 of sample 0 is none of the classes 0 to 2")
def npz_with_another_class_to_test(folder):
    return npz(folder, x_train=X, y_train=Y, x_test=X, y_test=Y + 5)


@case("bad.npz: `y_train` and `y_test` are of different kinds")
def npz_with_targets_to_test(folder):
    return npz(folder, x_train=X, y_train=Y, x_test=X, y_test=Y / 2)


@case("bad.npz: `x` promises .*, and holds 16")
def npz_that_promises_too_much(folder):
    lie = header("{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 1, 4), }")
    return npz_of(folder, archive(x=lie + bytes(16), y=npy(Y)))


@case("bad.npz: `x` promises")
def npz_of_negative_size(folder):
    lie = header("{'descr': '<f4', 'fortran_order': False, 'shape': (-12, 1, -4), }")
    return npz_of(folder, archive(x=lie + bytes(16), y=npy(Y)))


@case("bad.npz: `x` has a damaged header")
def npz_with_a_damaged_header(folder):
    return npz_of(folder, archive(x=header("{'descr': '<f4', 'fortran_order'"), y=npy(Y)))


@case("bad.npz: `x` has a damaged header")
def npz_with_code_in_a_header(folder):
    return npz_of(folder, archive(x=header("__import__('os').system('true')"), y=npy(Y)))


@case("bad.npz: `x` is damaged")
def npz_with_flipped_bytes(folder):
    kind = npz(folder, x=X, y=Y)
    path = Path(kind.path)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 8] ^= 1
    path.write_bytes(bytes(content))
    return kind


@case("bad.npz: `x` holds 300000000 samples, but `y` 12 labels")
def npz_bomb(folder):
    """Twelve hundred million bytes of zeros, in one of a thousandth."""
    shape = header("{'descr': '|u1', 'fortran_order': False, 'shape': (300000000, 1, 4), }")
    path = folder / "bad.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("x.npy", "w", force_zip64=True) as stream:
            stream.write(shape)
            for _ in range(300):
                stream.write(bytes(4_000_000))
        file.writestr("y.npy", npy(Y))
    return Npz(path=str(path))


@case("bad.npz: `class_names` must be one row of texts")
def npz_with_numbers_as_names(folder):
    return npz(folder, x=X, y=Y, class_names=np.arange(3))


@case("bad.npz: `y`: label 2 of sample 2 is none of the classes 0 to 1")
def npz_with_too_few_names(folder):
    return npz(folder, x=X, y=Y, class_names=np.array(["a", "b"]))


# --- recordings -----------------------------------------------------------------------------------------


def wav(
    rate=8000, channels=1, bits=16, encoding=1, sound=bytes(200), size=None, form=None, order=("fmt ", "data")
):
    """A WAV file, chunk by chunk."""
    block = channels * bits // 8
    form = form or struct.pack("<HHIIHH", encoding, channels, rate, rate * block, block, bits)
    chunks = {"fmt ": (form, len(form)), "data": (sound, len(sound) if size is None else size)}
    body = b"".join(name.encode() + struct.pack("<I", chunks[name][1]) + chunks[name][0] for name in order)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def clips(folder, bad, name="a/bad.wav"):
    for letter in "ab":
        (folder / "clips" / letter).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            (folder / "clips" / letter / f"{number}.wav").write_bytes(wav())
    (folder / "clips" / name).write_bytes(bad)
    return Wav(path=str(folder / "clips"), length=100, rate=8000)


@case("there is no folder .*clips")
def wav_missing(folder):
    return Wav(path=str(folder / "clips"), length=100)


@case("bad.wav: is not a WAV file")
def wav_text(folder):
    return clips(folder, b"this is text, and no sound at all")


@case("bad.wav: is not a WAV file")
def wav_empty(folder):
    return clips(folder, b"")


@case("bad.wav: is not a WAV file")
def wav_of_the_other_byte_order(folder):
    return clips(folder, b"RIFX" + wav()[4:])


@case("bad.wav: ends after 150 of the 200 bytes")
def wav_truncated(folder):
    return clips(folder, wav()[:-50])


@case("bad.wav: its format has 10 bytes")
def wav_truncated_in_its_header(folder):
    return clips(folder, wav()[:30])


@case("bad.wav: ends after 200 of the 4294967280 bytes")
def wav_that_promises_too_much(folder):
    return clips(folder, wav(size=0xFFFFFFF0))


@case("bad.wav: holds no sound")
def wav_without_a_sample(folder):
    return clips(folder, wav(sound=b""))


@case("bad.wav: holds no sound")
def wav_with_half_a_sample(folder):
    return clips(folder, wav(sound=b"\0"))


@case("bad.wav: holds no sound")
def wav_without_data(folder):
    return clips(folder, wav(order=("fmt ",)))


@case("bad.wav: the sound comes before its format")
def wav_the_wrong_way_round(folder):
    return clips(folder, wav(order=("data", "fmt ")))


@case("bad.wav: its format has 8 bytes")
def wav_with_a_short_format(folder):
    return clips(folder, wav(form=bytes(8)))


@case("bad.wav: has 2 channels")
def wav_in_stereo(folder):
    return clips(folder, wav(channels=2))


@case("bad.wav: has 44100 samples a second, and `rate` is 8000")
def wav_of_another_rate(folder):
    return clips(folder, wav(rate=44100))


@case("bad.wav: has 12 bits a sample")
def wav_of_another_width(folder):
    return clips(folder, wav(bits=12))


@case("bad.wav: its samples are A-law")
def wav_compressed(folder):
    return clips(folder, wav(encoding=6, bits=8))


@case("bad.wav: its samples are floating point")
def wav_of_floats(folder):
    return clips(folder, wav(encoding=3, bits=32))


@case("bad.mp3: cannot be read")
def wav_in_another_format(folder):
    return clips(folder, b"ID3", "b/bad.mp3")


# --- series ---------------------------------------------------------------------------------------------


def csv(folder, text, window=3, **options):
    path = folder / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Csv(path=str(path), window=window, **options)


ROWS = "".join(f"{i},{i * i}\n" for i in range(40))


@case("there is no file .*bad.csv")
def csv_missing(folder):
    return Csv(path=str(folder / "bad.csv"), window=3)


@case("bad.csv: holds no rows")
def csv_empty(folder):
    return csv(folder, "")


@case("bad.csv: holds no rows")
def csv_with_names_alone(folder):
    return csv(folder, "load,temperature\n\n")


@case(r"bad.csv: line 42, column 2 \(`b`\): is empty")
def csv_with_a_hole(folder):
    return csv(folder, "a,b\n" + ROWS + "3,\n" + ROWS)


@case("bad.csv: line 41, column 1: holds nan, which is no number")
def csv_with_nan(folder):
    return csv(folder, ROWS + "nan,4\n")


@case("bad.csv: line 41, column 2: holds 1e999, which is too large")
def csv_with_a_number_too_large(folder):
    return csv(folder, ROWS + "1,1e999\n")


@case("bad.csv: line 41, column 2: holds 1e300, which is too large")
def csv_beyond_float32(folder):
    return csv(folder, ROWS + "1,1e300\n")


@case("bad.csv: line 41, column 1: holds `two`, which is no number")
def csv_with_text(folder):
    return csv(folder, ROWS + "two,4\n")


@case(r"bad.csv: line 2, column 1 \(`day`\): holds `2026-01-01`, which is no number")
def csv_with_dates(folder):
    return csv(folder, "day,load\n" + "2026-01-01,3\n" * 40)


@case("bad.csv: line 41 has 3 columns, and the first has 2")
def csv_with_uneven_rows(folder):
    return csv(folder, ROWS + "1,2,3\n")


@case("bad.csv: line 2 has 2 columns, and the first has 3")
def csv_with_too_many_names(folder):
    return csv(folder, "a,b,c\n" + ROWS)


@case("bad.csv: its columns are not separated by commas")
def csv_with_semicolons(folder):
    return csv(folder, "a;b\n1;2\n")


@case("bad.csv: has 3 rows, and a window with its target spans 4")
def csv_too_short(folder):
    return csv(folder, "1,2\n" * 3)


@case("bad.csv: there is no column `lod`")
def csv_with_another_target(folder):
    return csv(folder, "load,b\n" + ROWS, target="lod")


@case("bad.csv: has 2 columns, and `target` is 5")
def csv_with_a_target_beyond(folder):
    return csv(folder, ROWS, target=5)


@case("bad.csv: its columns have no names")
def csv_without_names(folder):
    return csv(folder, ROWS, target="load")


@case("bad.csv: line 1 is longer than 131,072 characters")
def csv_of_one_line(folder):
    return csv(folder, "1," * 30_000_000)


@case("bad.csv: line 2 is longer than 131,072 characters")
def csv_with_a_long_line(folder):
    return csv(folder, "1,2\n" + "1," * 30_000_000)


@case("bad.csv: has 5,000 columns, and 4,096 are the most")
def csv_of_many_columns(folder):
    return csv(folder, ",".join(["1"] * 5000) + "\n")


@case("bad.csv: is not a text in UTF-8, after line 0")
def csv_in_utf16(folder):
    return csv(folder, ROWS.encode("utf-16"))


@case("bad.csv: line 2 has 1 columns, and the first has 2")
def csv_with_nothing_but_zero_bytes(folder):
    return csv(folder, b"1,2\n" + bytes(50_000))


# --- CIFAR-10 -------------------------------------------------------------------------------------------


def cifar(folder, train=None, test=None):
    root = folder / "cifar-10-batches-bin"
    root.mkdir()
    for name, content in (("data_batch_1.bin", train), ("test_batch.bin", test)):
        if content is not None:
            (root / name).write_bytes(content)
    return Cifar10()


RECORD = bytes([3]) + bytes(RECORD_BYTES - 1)


@case("cifar-10-batches-bin: has files of CIFAR-10, and no test_batch.bin")
def cifar_without_a_test_part(folder):
    return cifar(folder, train=RECORD)


@case("cifar-10-batches-bin: has test_batch.bin, and none of data_batch_1.bin")
def cifar_without_a_training_part(folder):
    return cifar(folder, test=RECORD)


@case("data_batch_1.bin: ends inside a record: 3,083 bytes")
def cifar_truncated(folder):
    return cifar(folder, RECORD + bytes(10), RECORD)


@case("test_batch.bin: is empty")
def cifar_empty(folder):
    return cifar(folder, RECORD, b"")


@case("data_batch_1.bin: label 10 of record 1 is none of the classes")
def cifar_with_another_label(folder):
    return cifar(folder, RECORD + bytes([10]) + RECORD[1:], RECORD)


@case("data_batch_1.bin: has 30,733,073 bytes, and 30,730,000 are the most")
def cifar_too_long(folder):
    return cifar(folder, RECORD * 10_001, RECORD)


@case("cifar-10-batches-py is the pickled CIFAR-10: reading it would run")
def cifar_pickled(folder):
    (folder / "cifar-10-batches-py").mkdir()
    return Cifar10()


@case("data_batch_1.bin: (ends inside a record|label 128)")
def cifar_pickled_under_the_other_name(folder):
    return cifar(folder, pickle.dumps({"data": list(range(2000))}), RECORD)


@case("cifar-10-binary.tar.gz: is not a gzip archive, or is damaged")
def cifar_archive_of_text(folder):
    (folder / "cifar-10-binary.tar.gz").write_bytes(b"<html>not found</html>")
    return Cifar10()


@case("cifar-10-binary.tar.gz: lacks data_batch_1.bin")
def cifar_archive_without_files(folder):
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive_:
        archive_.addfile(tarfile.TarInfo("../../data_batch_9.bin"), io.BytesIO())
    return Cifar10()


@case("cifar-10-binary.tar.gz: test_batch.bin has 99,999,999,999 bytes")
def cifar_archive_bomb(folder):
    info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    info.size = 99_999_999_999
    import gzip

    (folder / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(10**6)))
    return Cifar10()


def main(home):
    """Read every bad file; a line of JSON with what was said of each, and the most memory, in bytes."""
    said = {}
    for number, (name, (make, _)) in enumerate(CASES.items()):
        folder = home / str(number)
        folder.mkdir()
        try:
            read(make, folder)
        except DataError as error:
            said[name] = error.message
    print(json.dumps({"said": said, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
