"""Notebook 05: when to stop the fit of a DIP."""
