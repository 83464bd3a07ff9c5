"""Console scripts, one file each; the only place that imports Hydra."""
