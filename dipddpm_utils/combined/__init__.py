"""Notebook 04: what a DIP brought, from records: comparisons, mechanisms, restoration, verdicts; no torch."""
