"""Figures: each takes numbers and returns a matplotlib figure; none of them knows a sentence.

* `drawing`: what all of them share: colours, white figures, short names, hatching, legends.
* `measures`, `checks`, `candidate_maps`, `importance`, `summary`: by what they draw.
"""
