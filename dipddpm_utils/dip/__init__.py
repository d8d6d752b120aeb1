"""Notebook 02: Deep Image Priors, their networks and the two ways to fit them."""
