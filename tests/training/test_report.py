"""The page about a run: what it says, that nothing in it escapes, and how a real browser shows it."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.training import DataSet
from cnnspec.training.report.markup import Html, element, joined
from cnnspec.training.report.pictures import kernel_pixels, png

SPEC = """# <script>alert("spec")</script> & <b>
network Small {
    input SHAPE
    conv 4 3x3 -> relu
    maxpool 2x2
    dense CLASSES -> softmax
}

train {
    data digits
    optimizer sgd lr=0.05 momentum=0.9
    batch 20
    epochs 2
}
"""
EVIL = '<img src=x onerror="alert(1)">'
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECTIONS = [
    "Learning",
    "Confusion",
    "Classes",
    "Worst mistakes",
    "First kernels",
    "Layers",
    "Spec",
    "Environment",
]


def made(folder: Path, shape: tuple[int, ...], names: tuple[str, ...]) -> str:
    """The page about a short run on noise."""
    chance = np.random.default_rng(0)
    x = chance.random((90, *shape), np.float32)
    y = chance.integers(0, len(names), 90)
    data = DataSet("digits", x[:60], y[:60], x[60:], y[60:], names)
    text = SPEC.replace("SHAPE", "x".join(map(str, shape))).replace("CLASSES", str(len(names)))
    text = text if shape[-1] > 1 else re.sub("conv.*\n|maxpool.*\n", "", text)
    if (len(names), shape) != (10, (1, 8, 8)):  # the digits of the file's own are not what it learns from
        text = text.replace("    data digits\n", "")
    cnnspec.train(cnnspec.loads(text, EVIL), data, out=folder).model.close()
    return (folder / "report.html").read_text("utf-8")


class Reader(HTMLParser):
    """The elements of a page, its headings, and whether every element that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    made(folder, (1, 8, 8), tuple(f"{EVIL}{i}" for i in range(10)))
    return folder


@pytest.fixture
def page(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")


def test_the_page_has_all_parts_and_is_well_formed(page: str):
    assert Reader(page).headings == SECTIONS


def test_nothing_from_outside_is_markup(page: str):
    reader = Reader(page)
    assert not [tag for tag, _ in reader.elements if tag == "script"]
    assert not [name for _, given in reader.elements for name in given if name.startswith("on")]
    assert "&lt;script&gt;alert(&quot;spec&quot;)&lt;/script&gt;" in page
    for tag, given in reader.elements:
        for name in ("src", "href", "data", "action"):
            assert (given.get(name) or "data:").startswith(("data:", "#")), (tag, given)
    assert "url(" not in page
    assert "@import" not in page


def test_the_worst_mistakes_are_the_samples_themselves(folder: Path, page: str):
    image = pytest.importorskip("PIL.Image")
    chance = np.random.default_rng(0)
    x = chance.random((90, 1, 8, 8), np.float32)[60:]
    found = [
        given for tag, given in Reader(page).elements if tag == "img" and "taken for" in (given["alt"] or "")
    ]
    assert 0 < len(found) <= 24
    for given in found:
        number = int(re.match(r"test sample (\d+):", given["alt"]).group(1))
        content = base64.b64decode(given["src"].removeprefix("data:image/png;base64,"))
        pixels = np.asarray(image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(pixels, np.round(x[number, 0] * 255))


@pytest.mark.parametrize(
    ("shape", "classes"), [((3, 8, 8), 2), ((1, 8, 8), 30), ((2, 8, 8), 3), ((12, 1, 1), 3)]
)
def test_other_data_and_networks_have_a_page_too(shape: tuple[int, ...], classes: int, tmp_path: Path):
    page = made(tmp_path / "run", shape, tuple(f"class {i}" for i in range(classes)))
    headings = Reader(page).headings
    expected = [one for one in SECTIONS if one != "First kernels" or shape[0] in (1, 3)]
    assert headings == expected


def test_what_is_no_markup_is_escaped():
    assert element("p", "a < b", Html("<br>"), title='"') == '<p title="&quot;">a &lt; b<br></p>'
    assert joined(["&", element("b", "&")]) == "&amp;<b>&amp;</b>"
    assert isinstance(joined([]), Html)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 4, 3)])
def test_pictures_are_png(shape: tuple[int, ...]):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    with image.open(io.BytesIO(png(pixels))) as found:
        assert found.format == "PNG"
        np.testing.assert_array_equal(np.asarray(found), pixels)


def test_a_kernels_zero_is_grey():
    pixels = kernel_pixels(np.array([[[-2.0, 0.0, 2.0, 9.0]]], np.float32), 2.0)
    assert pixels.tolist() == [[0, 128, 255, 255]]


# --- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no browser: none of " + ", ".join(BROWSERS))
    return found


def shown(browser: str, page: Path, picture: Path, *options: str) -> tuple[np.ndarray, str]:
    """What a browser draws of a page, and what it has to say about it."""
    image = pytest.importorskip("PIL.Image")
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--window-size=1000,3600",
        f"--user-data-dir={picture.parent / 'profile'}",
        f"--screenshot={picture}",
        *options,
        page.resolve().as_uri(),
    ]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert picture.exists(), result.stderr
    with image.open(picture) as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    return pixels, "\n".join(line for line in result.stderr.splitlines() if "CONSOLE" in line)


def test_a_browser_shows_the_page_in_light_and_dark(browser: str, folder: Path, tmp_path: Path):
    page = folder / "report.html"
    light, said = shown(browser, page, tmp_path / "light.png")
    assert said == ""
    assert tuple(light[2, 2]) == (0xFF, 0xFF, 0xFF)
    assert light.shape[:2] == (3600, 1000)
    drawn = (light != 255).any(axis=(1, 2))
    assert drawn[:200].any(), "the heading"
    assert drawn[2000:].any(), "the lower half"
    mistakes = light[(light == light[..., :1]).all(axis=2), 0]
    assert len(np.unique(mistakes)) > 100, "pictures in shades of grey"
    dark, said = shown(browser, page, tmp_path / "dark.png", "--blink-settings=preferredColorScheme=0")
    assert said == ""
    assert tuple(dark[2, 2]) == (0x15, 0x18, 0x1C)


def test_a_browser_runs_no_script_of_a_page(browser: str, folder: Path, tmp_path: Path):
    """The policy in the head holds even where markup would get in."""
    text = (folder / "report.html").read_text("utf-8")
    page = tmp_path / "page.html"
    attack = "<script>document.body.style.background='rgb(255,0,0)'</script><body>"
    page.write_text(text.replace("<body>", f"<body>{attack}", 1), "utf-8")
    pixels, said = shown(browser, page, tmp_path / "page.png")
    assert tuple(pixels[2, 2]) == (0xFF, 0xFF, 0xFF)
    assert "Content Security Policy" in said
