"""A figure as it is shown on a dark ground."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

ON_COLOUR = "on colour"
"""The gid of texts whose colour goes with the coloured cell below them, which stays as it is."""

GROUND, INK = np.array([0x14, 0x17, 0x1A]) / 255, np.array([0xE4, 0xE8, 0xEC]) / 255
_GREY = 0.08  # between the largest and the smallest part of a colour: below, it is a shade of grey
_LIGHTER = 0.4  # of the way to white, as the script of the page has it


def darken(figure: Figure) -> None:
    """Change a figure's colours for a dark ground: greys run from the ground to the ink, others become lighter.

    What is coloured by a scale stays. A figure is changed for good: save it as it was before.
    """
    for artist in figure.findobj():
        for get, change in _properties(artist):
            change(dark(get()))
        for effect in getattr(artist, "get_path_effects", list)() or []:
            if "foreground" in getattr(effect, "_gc", {}):
                effect._gc["foreground"] = tuple(dark(effect._gc["foreground"])[0])


def dark(colours: Any) -> Any:
    """Colours for a dark ground, `[colour, rgba]`.

    >>> dark("white")[0].round(2).tolist(), dark("#0072B2")[0].round(2).tolist()
    ([0.08, 0.09, 0.1, 1.0], [0.4, 0.67, 0.82, 1.0])
    """
    found = to_rgba_array(colours)
    rgb = found[:, :3]
    light = rgb.mean(axis=1, keepdims=True)
    grey = np.ptp(rgb, axis=1, keepdims=True) < _GREY
    shown = np.where(grey, INK + light * (GROUND - INK), rgb + _LIGHTER * (1 - rgb))
    return np.column_stack([shown, found[:, 3]])


def _properties(artist: Any) -> list[tuple[Any, Any]]:
    """How the colours of an artist are asked for and changed."""
    if isinstance(artist, Text):
        return [] if artist.get_gid() == ON_COLOUR else [(artist.get_color, _one(artist.set_color))]
    if isinstance(artist, Line2D):
        return [
            (artist.get_color, _one(artist.set_color)),
            (artist.get_markerfacecolor, _one(artist.set_markerfacecolor)),
            (artist.get_markeredgecolor, _one(artist.set_markeredgecolor)),
        ]
    if isinstance(artist, Collection):
        scaled = isinstance(artist, ScalarMappable) and artist.get_array() is not None
        both = [(artist.get_facecolor, artist.set_facecolor), (artist.get_edgecolor, artist.set_edgecolor)]
        return [] if scaled else both
    if isinstance(artist, Patch):
        return [(artist.get_facecolor, _one(artist.set_facecolor)), (artist.get_edgecolor, _one(artist.set_edgecolor))]
    return []


def _one(change: Any) -> Any:
    """What takes one colour; none stays none."""
    return lambda colours: change(tuple(colours[0]) if len(colours) else "none")
