"""Multilayer perceptrons, thousands at a time: the network, its layers in memory, and backpropagation by hand."""
