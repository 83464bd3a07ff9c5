"""Functions to be minimised."""
