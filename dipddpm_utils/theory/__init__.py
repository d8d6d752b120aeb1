"""Notebook 01: what theory says before anything is trained, checked where the answer is known exactly."""
