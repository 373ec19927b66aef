"""Bells between processes: heard by who looks, by who sleeps, and beside messages."""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import Pipe

import pytest

from cnnspec.numpy_backend import bells
from cnnspec.numpy_backend.bells import RUNG, WAKE, Bell, Ear


@pytest.fixture(params=[True, False], ids=["looks", "pipe alone"])
def pair(request, monkeypatch):
    """A bell, an ear for it and the other end of its pipe; where counters come in order, and elsewhere."""
    monkeypatch.setattr(bells, "in_order", lambda: request.param)
    here, there = Pipe()
    with here, there:
        bell = Bell()
        yield bell, Ear(bell, here), there


def after(seconds, work, *arguments):
    timer = threading.Timer(seconds, work, arguments)
    timer.start()
    return timer


def test_what_was_rung_is_heard_once(pair):
    bell, ear, there = pair
    for _ in range(3):
        bell.ring(there)
        assert ear.wait() == RUNG
    after(0.01, there.send_bytes, b"so")
    assert ear.wait() == b"so"


def test_who_sleeps_is_woken(pair):
    bell, ear, there = pair
    for _ in range(3):
        timer = after(100 * bells.SPIN, bell.ring, there)
        assert ear.wait() == RUNG
        timer.join()


def test_to_wake_somebody_who_is_awake_does_no_harm(pair):
    bell, ear, there = pair
    there.send_bytes(WAKE)  # of a bell that was heard before its messenger came
    there.send_bytes(b"a")
    assert ear.message() == b"a"
    there.send_bytes(WAKE)
    timer = after(0.03, bell.ring, there)
    assert ear.wait() == RUNG
    timer.join()


def test_messages_come_in_their_order(pair):
    _, ear, there = pair
    for word in (b"a", b"b", b"c"):
        there.send_bytes(word)
    assert ear.has_message()
    assert [ear.message(), ear.wait(), ear.message()] == [b"a", b"b", b"c"]
    assert not ear.has_message()


def test_nothing_is_heard_of_who_has_gone(pair):
    _, ear, there = pair
    there.close()
    assert ear.wait() is None
    assert ear.message() is None


def test_a_process_hears_another_and_sees_what_it_wrote():
    here, there = Pipe()
    question, answer = Bell(), Bell()
    slate = bells.shared_bytes(8).data.cast("q")
    process = os.fork()
    if process == 0:
        ear = Ear(question, there)
        for _ in range(200):
            ear.wait()
            slate[0] = 2 * slate[0] + 1
            answer.ring(there)
        os._exit(0)
    ear, expected = Ear(answer, here), 1
    slate[0] = expected
    for _ in range(200):
        question.ring(here)
        assert ear.wait() == RUNG
        expected = 2 * expected + 1
        assert slate[0] == expected
        slate[0] = expected = expected % 1000
    os.waitpid(process, 0)
