"""The files that the classes of a NumPy export come from."""

from pathlib import Path

import cnnspec.bridges.numpy_source.lessons as lessons
from cnnspec.bridges.numpy_source.module import PARTS, to_source
from cnnspec.network.check import check_file

SPECS = Path(__file__).parents[2] / "specs"


def test_every_file_of_lessons_has_its_place_in_the_order():
    folder = Path(lessons.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(PARTS)


def test_a_written_file_has_its_classes_before_those_that_build_on_them():
    text = to_source(*check_file(SPECS / "lenet.cnn").network()).text
    exec(compile(text, "lenet.py", "exec"), {"__name__": "lenet"})
    order = [text.index(f"\nclass {name}(") for name in ("Conv", "Dense", "AvgPool", "Sigmoid", "LeNet")]
    assert order == sorted(order)
    assert "cnnspec.bridges" not in text
