"""Figures: the only package that imports matplotlib.

A figure is drawn from the tables of a study. What it shows can be had as a frame first, from the function of the same
name in `basinet.analysis.plot_data`; `basinet.reporting.plane` makes those of the landscape.
"""

from basinet.plots.animation import animate
from basinet.plots.answers import answers, weights
from basinet.plots.barrier import barrier
from basinet.plots.basins import basins
from basinet.plots.disconnectivity import disconnectivity
from basinet.plots.distribution import distribution
from basinet.plots.fans import fans, loss_fan
from basinet.plots.final_losses import final_losses
from basinet.plots.heat import heat
from basinet.plots.hit_shares import hit_shares
from basinet.plots.landscape import landscape
from basinet.plots.overview import condition_figures, landscape_figures, sweep_axes, sweep_figures
from basinet.plots.rank_abundance import rank_abundance
from basinet.plots.rarefaction import rarefaction
from basinet.plots.running_times import running_times
from basinet.plots.saddle_index import saddle_index
from basinet.plots.saving import save
from basinet.plots.sharpness import sharpness
from basinet.plots.trajectories import trajectories
from basinet.plots.waterfall import waterfall

__all__ = [
    "animate",
    "answers",
    "barrier",
    "basins",
    "condition_figures",
    "disconnectivity",
    "distribution",
    "fans",
    "final_losses",
    "heat",
    "hit_shares",
    "landscape",
    "landscape_figures",
    "loss_fan",
    "rank_abundance",
    "rarefaction",
    "running_times",
    "saddle_index",
    "save",
    "sharpness",
    "sweep_axes",
    "sweep_figures",
    "trajectories",
    "waterfall",
    "weights",
]
