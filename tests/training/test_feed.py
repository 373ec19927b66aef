"""The batches of an epoch: complete, repeatable, resumable, and without a thread that stays."""

import threading

import numpy as np
import pytest

from cnnspec.recipe.augment import Crop, Flip, Noise
from cnnspec.training import DataSet
from cnnspec.training.datasets import DataError, workers
from cnnspec.training.feed import batches_in, feed, held_out, shuffled

COUNT, SHAPE = 103, (1, 6, 5)
CHAIN = (Flip(), Crop(padding=1), Noise(deviation=0.1))


class Slow:
    """A stream over an array that breaks at one sample."""

    def __init__(self, array, broken=None):
        self.array, self.shape, self.broken = array, array.shape, broken

    def __len__(self):
        return len(self.array)

    def rows(self, indices):
        if self.broken in indices:
            raise DataError(f"sample {self.broken} cannot be read")
        return self.array[indices]


def data(streamed=False, broken=None):
    random = np.random.default_rng(0)
    x = random.random((COUNT, *SHAPE), np.float32)
    y = np.arange(COUNT)
    given = Slow(x, broken) if streamed else x
    return DataSet("some", given, y, given, y, tuple(map(str, y)))


def gathered(batches):
    """All samples and labels of a feed, batch by batch."""
    found = []
    with batches as each:
        for one in each:
            rows = slice(None) if one.indices is None else one.indices
            found.append((one.x[rows].copy(), one.labels[rows].copy()))
            assert len(one) == len(found[-1][1])
    return found


def assert_same(one, other):
    assert len(one) == len(other)
    for (x, y), (u, v) in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(params=[False, True], ids=["array", "stream"])
def streamed(request):
    return request.param


@pytest.fixture(params=[2, 3], ids=["in between", "beside"], autouse=True)
def processors(request, monkeypatch):
    monkeypatch.setattr("cnnspec.training.feed.cpus", lambda: request.param)


@pytest.mark.parametrize("augment", [(), CHAIN], ids=["plain", "augmented"])
def test_an_epoch_has_every_sample_once_in_the_shuffled_order(streamed, augment):
    found = gathered(feed(data(streamed), seed=1, epoch=2, batch=10, augment=augment))
    assert [len(y) for _, y in found] == [10] * 10 + [3]
    assert len(found) == batches_in(data(), 10)
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), shuffled(COUNT, 1, 2))
    if not augment:
        np.testing.assert_array_equal(found[3][0], data().train_x[found[3][1]])


@pytest.mark.parametrize("augment", [(), CHAIN], ids=["plain", "augmented"])
@pytest.mark.parametrize("first", [0, 1, 7, 10, 11, 99])
def test_a_feed_goes_on_where_another_stopped(streamed, augment, first):
    whole = gathered(feed(data(streamed), seed=3, epoch=1, batch=10, augment=augment))
    rest = gathered(feed(data(streamed), seed=3, epoch=1, batch=10, first=first, augment=augment))
    assert_same(rest, whole[first:])


@pytest.mark.parametrize("augment", [(), CHAIN], ids=["plain", "augmented"])
def test_samples_that_threads_make_are_staged_by_them(streamed, augment):
    """Those that are given by their numbers are not."""
    staged = []

    def stage(x):
        staged.append(threading.current_thread().name)
        return -x

    plain = gathered(feed(data(streamed), seed=3, epoch=1, batch=10, augment=augment))
    found = gathered(feed(data(streamed), seed=3, epoch=1, batch=10, augment=augment, stage=stage))
    made = bool(streamed or augment)
    assert_same([(-x if made else x, y) for x, y in found], plain)
    assert bool(staged) == made
    assert all(name.startswith("cnnspec-feed") for name in staged)
    with held_out(data(streamed), batch=10, stage=stage) as pieces:
        tested = np.concatenate([piece.x for piece in pieces])
    np.testing.assert_array_equal(-tested if streamed else tested, data().test_x)


def test_the_stream_gives_what_the_array_gives(monkeypatch):
    expected = gathered(feed(data(), seed=3, epoch=1, batch=8, augment=CHAIN))
    for count in (1, 2, 5):
        monkeypatch.setattr(workers, "MOST_WORKERS", count)
        assert_same(gathered(feed(data(True), seed=3, epoch=1, batch=8, augment=CHAIN)), expected)


def test_batches_hold_the_same_samples_whatever_their_size():
    by_size = [gathered(feed(data(), seed=3, epoch=1, batch=size, augment=CHAIN)) for size in (1, 10, 1000)]
    every = [np.concatenate([x for x, _ in found]) for found in by_size]
    np.testing.assert_array_equal(every[0], every[1])
    np.testing.assert_array_equal(every[0], every[2])


def test_augmenting_leaves_the_data_as_they_were():
    given = data()
    before = given.train_x.copy()
    gathered(feed(given, seed=0, epoch=1, batch=16, augment=CHAIN))
    np.testing.assert_array_equal(given.train_x, before)


def test_the_test_part_comes_whole_and_in_order(streamed):
    found = gathered(held_out(data(streamed), batch=10))
    assert len(found) == (11 if streamed else 1)
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), np.arange(COUNT))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), data().test_x)


def test_an_error_comes_where_its_batch_would_have_come(monkeypatch):
    monkeypatch.setattr("cnnspec.training.feed.PIECE_VALUES", 1)
    broken = int(shuffled(COUNT, 0, 1)[35])
    with feed(data(True, broken), seed=0, epoch=1, batch=10) as batches:
        for _ in range(3):
            next(batches)
        with pytest.raises(DataError, match=f"sample {broken} cannot be read"):
            next(batches)


def test_a_feed_that_is_left_early_stops_its_threads(streamed):
    with feed(data(streamed), seed=0, epoch=1, batch=2, augment=CHAIN) as batches:
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)


def test_an_interrupt_stops_the_threads(streamed):
    def interrupted():
        with feed(data(streamed), seed=0, epoch=1, batch=2, augment=CHAIN) as batches:
            for _ in batches:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_feed_never_asked_leaves_nothing():
    with feed(data(True), seed=0, epoch=1, batch=2, augment=CHAIN):
        pass


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("augment", [(), CHAIN])
@pytest.mark.parametrize("processes", [2, 3])
def test_shares_of_processes_make_up_every_batch(streamed, augment, processes):
    """All have as many batches, the last ones short, and together what one process has."""
    settings = {"seed": 4, "epoch": 2, "batch": 10, "first": 1, "augment": augment}
    whole = gathered(feed(data(streamed), **settings))
    shares = [gathered(feed(data(streamed), **settings, share=(i, processes))) for i in range(processes)]
    assert {len(share) for share in shares} == {len(whole)}
    for number, (x, y) in enumerate(whole):
        for i, share in enumerate(shares):
            np.testing.assert_array_equal(share[number][0], x[i::processes])
            np.testing.assert_array_equal(share[number][1], y[i::processes])


@pytest.mark.parametrize("streamed", [False, True])
def test_shares_of_the_test_part_may_be_empty(streamed):
    whole = data(streamed)
    shares = [gathered(held_out(whole, batch=51, share=(i, 4))) for i in range(4)]
    seen = np.sort(np.concatenate([y for share in shares for _, y in share]))
    np.testing.assert_array_equal(seen, whole.test_y)
    assert {len(share) for share in shares} == {3 if streamed else 1}
    assert not streamed or len(shares[3][-1][0]) == 0
