"""Golden files: an input and, behind a marker, the output that is expected of it.

`pytest --update-golden` writes the outputs anew; read the difference before you commit it.
"""

from pathlib import Path

CASES = Path(__file__).parent.parent / "cases"
MARKER = "\n======== expected ========\n"


def cases(boundary):
    """The files of one boundary, for `pytest.mark.parametrize`."""
    return sorted((CASES / boundary).glob("*.txt"))


def name(path):
    return path.stem


def check(path, produce, update):
    """Compare what `produce` makes of the input with the output in the file."""
    text = path.read_bytes().decode("utf-8")
    given, _, expected = text.partition(MARKER)
    actual = produce(given)
    if update:
        path.write_bytes((given + MARKER + actual.rstrip("\n") + "\n").encode())
        return
    assert actual.rstrip("\n") == expected.rstrip("\n")
