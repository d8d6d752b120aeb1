"""What samples are worth: feature spaces, distances, fidelity, statistics."""
