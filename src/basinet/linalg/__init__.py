"""Numerical linear algebra that knows no network."""
