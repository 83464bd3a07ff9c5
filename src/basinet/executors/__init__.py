"""Where blocks of restarts are computed: one file per executor, frozen settings and `open`, which gives a crew."""

from __future__ import annotations

from basinet.executors.dask import Dask
from basinet.executors.local import Local
from basinet.executors.ray import Ray
from basinet.executors.seam import Crew, Executor, ExecutorGone, Made

EXECUTORS: dict[str, type[Executor]] = {"local": Local, "dask": Dask, "ray": Ray}

__all__ = ["EXECUTORS", "Crew", "Executor", "ExecutorGone", "Made"]
