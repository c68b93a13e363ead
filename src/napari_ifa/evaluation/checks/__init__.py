"""What an analysis alone shows of its model, as numbers.

* `sides`: one of two cohorts that are compared.
* `overfitting`, `principal`, `confounders`, `outliers`, `duplicates`, `redundancy`: the checks.
* `new_case`: a new case among the stored ones of a class, by the distance of `outliers`.
* `candidate_maps`: the maps of the first confounder candidates, by the model and its cases.
"""
