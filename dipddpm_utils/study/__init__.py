"""Which runs each profile declares."""
