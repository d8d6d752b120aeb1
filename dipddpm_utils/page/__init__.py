"""What all notebooks share: records in, figures, tables, sentences and one page out; no torch."""
