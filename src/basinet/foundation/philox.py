"""Philox4x64-10 (Salmon et al., 2011) at many counters at once: the numbers of numpy's generator, without its state."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_INCREMENTS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_TOGETHER = 1 << 13  # counters whose words stay in the cache


def philox(key: int, counters: Words) -> Words:
    """Four random words for each counter.

    Args:
        key: of 128 bits.
        counters: `[4, counter]`, the lowest word first.

    Returns:
        `[4, counter]`. What `np.random.Philox(key=key, counter=c - 1).random_raw(4)` gives for the counter c, since
        numpy counts before it draws.
    """
    result = np.empty_like(counters)
    for first in range(0, counters.shape[1], _TOGETHER):
        part = slice(first, first + _TOGETHER)
        result[:, part] = _mixed(key, counters[:, part])
    return result


def _mixed(key: int, counters: Words) -> Words:
    a, b, c, d = counters
    low, high = key & (2**64 - 1), key >> 64
    for index in range(_ROUNDS):
        first = np.uint64((low + index * _INCREMENTS[0]) % 2**64)
        second = np.uint64((high + index * _INCREMENTS[1]) % 2**64)
        a, b, c, d = (
            _high(_MULTIPLIERS[1], c) ^ b ^ first,
            _MULTIPLIERS[1] * c,
            _high(_MULTIPLIERS[0], a) ^ d ^ second,
            _MULTIPLIERS[0] * a,
        )
    return np.stack([a, b, c, d])


def _high(multiplier: np.uint64, words: Words) -> Words:
    """The upper 64 bits of the products, by halves of 32 bits."""
    m_low, m_high = multiplier & _LOW, multiplier >> _HALF
    w_low, w_high = words & _LOW, words >> _HALF
    middle = m_high * w_low + ((m_low * w_low) >> _HALF)
    other = m_low * w_high + (middle & _LOW)
    result: Words = m_high * w_high + (middle >> _HALF) + (other >> _HALF)
    return result
