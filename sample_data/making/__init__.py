"""The sample data: synthetic heads, two cohorts of them, and networks trained on each."""
