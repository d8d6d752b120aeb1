"""Every way in which a DIP can be a prior of a DDPM, with its controls: declared, computed, counted."""
