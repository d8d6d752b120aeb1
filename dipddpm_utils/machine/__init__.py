"""What runs need of the machine: device, random streams, budget, progress, provenance, files, errors."""
