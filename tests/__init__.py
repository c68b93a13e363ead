"""Tests, laid out as the package is, and the doubles that they share."""
