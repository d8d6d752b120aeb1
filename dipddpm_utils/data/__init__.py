"""The data sets, verified by checksum, from whichever source there is."""
