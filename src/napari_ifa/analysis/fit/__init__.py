"""Whether a study fits the cohort: what a case looks like, the cohort's reference, the answer.

``statistics`` (what is measured of one case) and ``header`` (what its file says) come first;
``distance`` and ``reference`` make the cohort's reference of them, ``stored`` keeps it in the
analysis file, ``comparison`` compares a case with it, and ``cohort_fit`` is the answer in words.
"""
