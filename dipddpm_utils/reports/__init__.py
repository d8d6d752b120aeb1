"""Notebook 06: the two course reports, their faults and their claims."""
