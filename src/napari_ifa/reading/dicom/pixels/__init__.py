"""A stack of slices to values in the units of the modality."""
