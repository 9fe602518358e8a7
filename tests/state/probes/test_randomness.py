"""The shared generators: a new sequence is a leak, drawing from the old one is use."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.state import diff
from pytest_mcpsmoke.state.probes import memory, randomness
from pytest_mcpsmoke.state.probes.randomness import NumpyRandom, Random

BLOCK = 312  # floats drawn from one state of 624 words


@pytest.fixture(autouse=True)
def generator_is_put_back() -> Iterator[None]:
    before = random.getstate()
    yield
    random.setstate(before)


@pytest.fixture(params=["memory", "getstate"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading the state: the one without ctypes, too."""
    if request.param == "getstate":
        monkeypatch.setattr(randomness, "_is_found_in_memory", lambda: False)
    return str(request.param)


def draw(floats: int) -> Callable[[], None]:
    return lambda: [random.random() for _ in range(floats)] and None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("floats", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK, 100_000])
def test_drawing_is_use(floats: int) -> None:
    random.seed(5)
    assert found_around(Random(), draw(floats)) == []
    assert found_around(Random(), draw(floats)) == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "use",
    [
        lambda: random.gauss(0, 1),
        lambda: random.shuffle([*range(700)]),
        lambda: random.randbytes(10_000),
        lambda: random.Random(1).random(),
        lambda: random.SystemRandom().random(),
        random.getstate,
    ],
)
def test_other_use_is_use(use: Callable[[], object]) -> None:
    assert found_around(Random(), use) == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("drawn", [0, 1, BLOCK, 5 * BLOCK])
@pytest.mark.parametrize("seed", [1234, 0, "text", None, 1.5])
def test_seeding_is_found_whatever_is_drawn_afterwards(seed: Any, drawn: int) -> None:
    draw(100)()
    with watching(Random()) as watch:
        random.seed(seed)
        draw(drawn)()
        (write,) = watch.writes()
    assert watch.probe.place(write.key) == "random.getstate()"
    assert "random" in watch.probe.place(write.key)
    assert not diff.same(write.old, write.new)


@pytest.mark.usefixtures("way")
def test_seeding_the_same_again_is_found_after_draws() -> None:
    with watching(Random()) as watch:
        random.seed(1)
        assert len(watch.writes()) == 1
        random.seed(2)
        assert len(watch.writes()) == 1


@pytest.mark.usefixtures("way")
def test_restoring_continues_the_old_sequence() -> None:
    random.seed(3)
    draw(7)()
    state = random.getstate()
    expected = [random.random() for _ in range(1_000)]
    random.setstate(state)
    with watching(Random()) as watch:
        random.seed(4)
        watch.restore(watch.writes())
    assert [random.random() for _ in range(1_000)] == expected


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("drawn", [1, BLOCK, 3 * BLOCK])
def test_a_state_that_is_put_back_is_no_change(drawn: int) -> None:
    state = random.getstate()
    with watching(Random()) as watch:
        random.seed(1)
        random.setstate(state)
        assert watch.found() == []
        draw(drawn)()
        assert watch.found() == []  # a boundary between the draws and the fixture's tear-down
        random.setstate(state)
        assert watch.found() == []


def test_both_ways_read_the_same() -> None:
    twister = random.Random(9)
    for _ in range(3):
        assert randomness._reader_of(twister)() == randomness._told(twister)
        twister.randbytes(2_000)


def test_memory_tells_what_is_there_at_the_time_of_the_call() -> None:
    held = bytearray(b"before")
    view = memoryview(held)
    import ctypes

    read = memory.reader(ctypes.addressof(ctypes.c_char.from_buffer(view)), 6)
    assert read() == b"before"
    held[:] = b"after!"
    assert read() == b"after!"


def test_unchanged_is_one_object() -> None:
    assert is_quiet(Random())


def test_who_seeds_in_every_test_pays_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs time is to draw all words of a state; a run does so some 40,000 times, and then seldom."""
    blocks_after, drawn = randomness._blocks_after, Counter[str]()

    def counting(words: bytes) -> Iterator[bytes]:
        for block in blocks_after(words):
            drawn["blocks"] += 1
            yield block

    monkeypatch.setattr(randomness, "_blocks_after", counting)
    with watching(Random()) as watch:
        for seed in range(300):
            random.seed(seed)
            random.random()
            assert len(watch.writes()) == 1
    assert 40_000 <= drawn["blocks"] < 40_000 + 1_000 + 300 * 2 * 50


class TestNumpy:
    @pytest.fixture(autouse=True)
    def _generator_is_put_back(self) -> Iterator[None]:
        numpy = self.numpy = pytest.importorskip("numpy")
        pytest.importorskip("numpy.random.mtrand")
        before = numpy.random.get_state()
        yield
        numpy.random.set_state(before)

    @pytest.mark.parametrize("floats", [1, BLOCK, BLOCK + 1, 100_000])
    def test_drawing_is_use(self, floats: int) -> None:
        random_ = self.numpy.random
        assert found_around(NumpyRandom(), lambda: random_.rand(floats), random_.randn) == []
        assert found_around(NumpyRandom(), lambda: random_.default_rng(1).random(), random_.get_state) == []

    @pytest.mark.parametrize("seed", [7, [1, 2, 3], None, 0])
    @pytest.mark.parametrize("drawn", [0, 1, BLOCK])
    def test_seeding_is_found(self, seed: Any, drawn: int) -> None:
        def leak() -> None:
            self.numpy.random.seed(seed)
            self.numpy.random.rand(drawn)

        assert [place for place, _, _ in found_around(NumpyRandom(), leak)] == ["numpy.random.get_state()"]

    def test_restoring_continues_the_old_sequence(self) -> None:
        self.numpy.random.seed(3)
        state = self.numpy.random.get_state()
        expected = self.numpy.random.rand(1_000).tolist()
        self.numpy.random.set_state(state)
        with watching(NumpyRandom()) as watch:
            self.numpy.random.seed(4)
            self.numpy.random.randn()  # half of a pair: the other half must go
            watch.restore(watch.writes())
        assert self.numpy.random.rand(1_000).tolist() == expected
        self.numpy.random.set_state(state)
        assert self.numpy.random.get_state(legacy=False)["has_gauss"] == 0

    def test_a_state_that_is_put_back_is_no_change(self) -> None:
        def lend() -> None:
            state = self.numpy.random.get_state()
            self.numpy.random.seed(4)
            self.numpy.random.set_state(state)

        assert found_around(NumpyRandom(), lend) == []
        assert is_quiet(NumpyRandom())

    def test_another_generator_in_its_place_is_found(self) -> None:
        numpy, before = self.numpy, self.numpy.random.get_bit_generator()
        try:
            with watching(NumpyRandom()) as watch:
                numpy.random.set_bit_generator(numpy.random.PCG64(1))
                (write,) = watch.writes()
                assert type(write.new) is numpy.random.PCG64
                numpy.random.rand(3)
                assert watch.writes() == []
        finally:
            numpy.random.set_bit_generator(before)
