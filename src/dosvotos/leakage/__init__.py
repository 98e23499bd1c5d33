"""Lookahead analysis: perturb the future of a stored history and see which features change before it."""
