"""Random words at many counters, and draws by address, against numpy's own generator."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from basinet.foundation.philox import philox
from basinet.foundation.random_streams import Address, Purpose


@pytest.mark.parametrize("key", [0, 7, 2**64 - 1, (3 << 64) + 12345, 2**128 - 1])
def test_the_words_at_a_counter_are_those_of_numpy_s_generator(key: int) -> None:
    chosen = np.random.default_rng(0).integers(0, 2**64, (4, 20), dtype=np.uint64)
    chosen[:, 0] = 1, 0, 0, 0
    words = philox(key, chosen)
    for column in range(chosen.shape[1]):
        counter = sum(int(word) << (64 * place) for place, word in enumerate(chosen[:, column])) - 1
        generator = np.random.Philox(key=key, counter=counter)
        assert words[:, column].tolist() == generator.random_raw(4).tolist()


def test_a_draw_is_the_words_at_the_counter_of_its_step_round_and_restart() -> None:
    address = Address(5, np.array([3, 0, 1_000_000]), np.array([9, 1, 2**40]))
    draws = address.normal(9, Purpose.MOVES, np.array([7, 0, 2]))
    for row, (restart, number, step) in enumerate([(3, 9, 7), (0, 1, 0), (1_000_000, 2**40, 2)]):
        counter = (step << 64) + (number << 128) + (restart << 192)
        bits = np.random.Philox(key=5 + (int(Purpose.MOVES) << 64), counter=counter).random_raw(12)[:9]
        assert draws[row].tolist() == ndtri(((bits >> np.uint64(12)) + 0.5) * 2.0**-52).tolist()


def test_a_run_draws_the_same_alone_and_among_many_more_than_are_computed_together() -> None:
    many = Address(1, np.arange(5000), np.arange(5000) % 7)
    alone = Address(1, np.array([4321]), np.array([4321 % 7]))
    assert np.array_equal(many.uniform(9, Purpose.CHANCES)[4321:4322], alone.uniform(9, Purpose.CHANCES))
