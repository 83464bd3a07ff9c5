from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from basinet.plots.dark import ON_COLOUR, dark, darken
from basinet.plots.style import COLOURS

GROUND = to_rgb("#14171a")
READABLE, VISIBLE = 4.5, 3.0  # WCAG 2.2, level AA: of text, and of what has to be told apart


def _luminance(colour: Any) -> float:
    """Of WCAG: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: Any, other: Any) -> float:
    light, deep = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (deep + 0.05)


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_of_a_figure_can_be_seen_on_a_dark_ground(colour: str) -> None:
    assert contrast(dark(colour)[0, :3], GROUND) > VISIBLE


def test_colours_that_are_told_apart_by_light_stay_apart_in_the_dark() -> None:
    shown = dark(COLOURS)[:, :3]
    apart = np.linalg.norm(shown[:, None] - shown[None], axis=-1)[~np.eye(len(shown), dtype=bool)]
    assert apart.min() > 0.15


def test_a_darkened_figure_has_text_that_can_be_read_and_keeps_what_a_scale_has_coloured() -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.set(title="title", xlabel="x")
    (line,) = axes.plot([0, 1], [0, 1], color=COLOURS[0])
    dots = axes.scatter([0, 1], [1, 0], c=[0.0, 1.0], cmap="viridis")
    inside = axes.text(0.5, 0.5, "on a cell", color="k", gid=ON_COLOUR)
    figure.draw_without_rendering()
    before = dots.get_facecolor().copy()
    darken(figure)
    figure.draw_without_rendering()
    for text in (axes.title, axes.xaxis.label, *axes.get_xticklabels()):
        assert contrast(text.get_color()[:3], figure.get_facecolor()[:3]) > READABLE
    np.testing.assert_allclose(line.get_color(), dark(COLOURS[0])[0])
    np.testing.assert_array_equal(dots.get_facecolor(), before)
    assert inside.get_color() == "k"
