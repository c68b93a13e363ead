"""The cases of a cohort, from whatever lists them."""
