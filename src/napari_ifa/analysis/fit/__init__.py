"""Whether a study fits the cohort: what a case looks like, the cohort's reference, the answer.

``statistics`` (what is measured of one case) and ``header`` (what its file says) come first;
``distance`` and ``reference`` make the cohort's reference of them, ``stored`` keeps it in the
analysis file, and ``cohort_fit`` compares a case with it and is the answer in words.
"""
