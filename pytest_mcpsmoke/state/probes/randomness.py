"""The generators that random and numpy.random share among all who use them.

Drawing numbers is use, and no leak: what counts is that the sequence was replaced by another one.
"""

from __future__ import annotations

import _random
import random
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, ClassVar, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.memory import reader

# Both are Mersenne Twisters: 624 words of state, drawn one after another, then all made anew.
_N: Final = 624
_WORD: Final = 4
_SIZE: Final = _N * _WORD
_SEEDED: Final = (0x80000000).to_bytes(_WORD, sys.byteorder)  # the first word of a freshly seeded state
_BLOCKS: Final = 1_000  # a sequence is followed for 624,000 words, some 300,000 random floats …
_BUDGET: Final = 40_000  # … and in all for about 0.2 s a run: a thousand tests that seed must not pay more …
_FEW_BLOCKS: Final = 50  # … than this many each

_Random: Final[Any] = random.Random
_shared: Final[Any] = vars(random)["_inst"]
_getstate, _setstate, _getrandbits = _Random.getstate, _Random.setstate, _Random.getrandbits

State = tuple[int, bytes]  # the index of the next word, and the words


class _Twister(Probe):
    """A shared Mersenne Twister."""

    at: ClassVar[str]

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._raw = b""
        self._blocks_left = _BUDGET

    def place(self, key: str) -> str:
        return key

    def same(self, key: str, before: Any, after: Any) -> bool:
        """Whether drawing numbers leads from one state to the other.

        Either way round: whoever puts back the state from before others drew does no harm.
        """
        if type(before) is not tuple or type(after) is not tuple:
            return before is after
        return self._leads_to(before, after) or self._leads_to(after, before)

    def text(self, value: Any) -> str | None:
        """The sequence by a number of its own, and how far it has been drawn."""
        if type(value) is not tuple:
            return None
        return f"sequence {zlib.crc32(value[1]):08x}, {value[0]} of {_N} words drawn"

    def _leads_to(self, before: State, after: State) -> bool:
        index, words = after[:2]
        if words == before[1]:
            return index >= before[0]
        if index == _N and words.startswith(_SEEDED):
            return False
        for block in islice(_blocks_after(before[1]), _BLOCKS if self._blocks_left > 0 else _FEW_BLOCKS):
            self._blocks_left -= 1
            if block == words:
                return True
        return False


class Random(_Twister):
    """The generator behind the functions of random."""

    name = "random"
    at = "random.getstate()"
    words = ("seed", "setstate")
    blind = "generators of one's own; more draws than 300,000 between two boundaries pass for a new sequence"

    _gauss: float | None = None

    def start(self) -> None:
        self._state = _reader_of(_shared)

    def read(self) -> dict[str, Any]:
        raw, gauss = self._state(), _shared.gauss_next
        if raw != self._raw or gauss is not self._gauss:
            self._raw, self._gauss = raw, gauss
            self._last = {self.at: (_number(raw[:_WORD]), raw[_WORD:], gauss)}
        return self._last

    def restore(self, key: str, before: Any, after: Any) -> None:
        _put(_shared, *before[:2])
        _shared.gauss_next = before[2]  # half of a pair that has been drawn


class NumpyRandom(_Twister):
    """The generator behind the functions of numpy.random."""

    name = "numpy.random"
    module = "numpy.random.mtrand"
    at = "numpy.random.get_state()"
    words = ("seed", "set_state", "set_bit_generator")
    blind = "generators of one's own, and what other bit generators than MT19937 are seeded with"

    def __init__(self) -> None:
        super().__init__()
        self._shared: Any = None
        self._bits: Any = None
        self._state: Callable[[], bytes] | None = None

    def read(self) -> dict[str, Any]:
        if self._shared is None:
            self._shared = vars(sys.modules[self.module])["_rand"]
        bits = self._shared._bit_generator
        if bits is not self._bits:
            self._bits, self._state, self._raw, self._last = bits, _numpy_reader(bits), b"", {self.at: bits}
        raw = b"" if self._state is None else self._state()
        if raw != self._raw:
            self._raw, self._last = raw, {self.at: (_number(raw[_SIZE:]), raw[:_SIZE])}
        return self._last

    def restore(self, key: str, before: Any, after: Any) -> None:
        if type(before) is not tuple or type(after) is not tuple:
            raise CannotRestore("another bit generator has taken its place")
        state = self._shared.get_state(legacy=False)
        state["state"]["pos"], state["state"]["key"][:] = before[0], array("I", before[1])
        state["has_gauss"], state["gauss"] = 0, 0.0  # half of a pair that was drawn from the other sequence
        self._shared.set_state(state)


def _numpy_reader(bits: Any) -> Callable[[], bytes] | None:
    """How to read the state of a bit generator, which says where it is; None: it is no Mersenne Twister."""
    twisters = vars(sys.modules["numpy.random._mt19937"])
    return reader(bits.ctypes.state_address, _SIZE + _WORD) if type(bits) is twisters["MT19937"] else None


def _number(word: bytes) -> int:
    return int.from_bytes(word, sys.byteorder)


def _put(twister: Any, index: int, words: bytes) -> None:
    _setstate(twister, (_Random.VERSION, (*array("I", words), index), None))


def _blocks_after(words: bytes) -> Iterator[bytes]:
    """The words of a twister, time and again, each time after all were drawn."""
    twister = _Random()
    _put(twister, _N, words)
    state = _reader_of(twister)
    while True:
        _getrandbits(twister, 8 * _SIZE)
        yield state()[_WORD:]


def _told(twister: Any) -> bytes:
    """What getstate() tells, as it stands in memory: the index, and the words."""
    *words, index = _getstate(twister)[1]
    return array("I", (index, *words)).tobytes()


def _reader_of(twister: Any) -> Callable[[], bytes]:
    """How to read the state of a random.Random: asking for it takes 12 µs, looking into its memory 0.1."""
    if _is_found_in_memory():
        return reader(id(twister) + object.__basicsize__, _WORD + _SIZE)
    return partial(_told, twister)


@cache
def _is_found_in_memory() -> bool:
    """Whether the state of a random.Random stands where CPython has it: behind the head of the object."""
    if sys.implementation.name != "cpython":
        return False
    twister, head = _Random(1), object.__basicsize__
    if _random.Random.__basicsize__ < head + _WORD + _SIZE:
        return False
    try:
        return reader(id(twister) + head, _WORD + _SIZE)() == _told(twister)
    except ImportError:  # a Python that was built without ctypes
        return False
