"""Other words that users have for what has one name here."""

from __future__ import annotations

ACTIVATIONS = {"sigmoid": "logistic"}


def activation_name(word: str) -> str:
    """The name under which an activation is stored, hashed and looked up, whichever word a user has for it.

    >>> activation_name("sigmoid"), activation_name("tanh")
    ('logistic', 'tanh')
    """
    return ACTIVATIONS.get(word, word)
