"""Inputs that are damaged or made to do harm, by chance from a seed, and what becomes of each.

``texts`` -> ``bundles``, ``analyses``, ``volumes``, ``cohorts`` -> ``command_lines`` -> ``runner``.
"""
