"""Frames of many files to series, and a series to a stack of slices."""
