"""Bitmaps of the ten digits, 7 wide and 12 high: centres for the output layer of LeNet-5.

They are drawn after the idea of LeCun et al. 1998, figure 3, not copied from it.
"""

from __future__ import annotations

from functools import cache
from typing import Final

WIDTH: Final = 7
HEIGHT: Final = 12

_PICTURES: Final = (
    """
..###..  ...#...  ..###..  .#####.  .....#.
.#...#.  ..##...  .#...#.  #.....#  ....##.
#.....#  .#.#...  #.....#  ......#  ...#.#.
#.....#  ...#...  ......#  ......#  ..#..#.
#.....#  ...#...  ......#  .....#.  ..#..#.
#.....#  ...#...  .....#.  ..###..  .#...#.
#.....#  ...#...  ....#..  .....#.  .#...#.
#.....#  ...#...  ...#...  ......#  #....#.
#.....#  ...#...  ..#....  ......#  #######
#.....#  ...#...  .#.....  ......#  .....#.
.#...#.  ...#...  #......  #.....#  .....#.
..###..  .#####.  #######  .#####.  .....#.
""",
    """
#######  ...###.  #######  ..###..  ..###..
#......  ..#....  ......#  .#...#.  .#...#.
#......  .#.....  ......#  #.....#  #.....#
#......  #......  .....#.  #.....#  #.....#
######.  #......  .....#.  .#...#.  #.....#
......#  #.###..  ....#..  ..###..  .#...##
......#  ##...#.  ....#..  .#...#.  ..###.#
......#  #.....#  ...#...  #.....#  ......#
......#  #.....#  ...#...  #.....#  ......#
......#  #.....#  ..#....  #.....#  .....#.
#.....#  .#...#.  ..#....  .#...#.  ....#..
.#####.  ..###..  ..#....  ..###..  .###...
""",
)


@cache
def bitmaps() -> tuple[tuple[int, ...], ...]:
    """The digits from 0 to 9, each row by row, +1 for ink and -1 for paper."""
    digits = []
    for picture in _PICTURES:
        columns = zip(*(line.split() for line in picture.strip().splitlines()), strict=True)
        digits += ["".join(rows) for rows in columns]
    return tuple(tuple(1 if pixel == "#" else -1 for pixel in digit) for digit in digits)
