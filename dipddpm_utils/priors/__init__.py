"""Notebook 04: every way in which a DIP can be a prior of a DDPM, with its controls."""
