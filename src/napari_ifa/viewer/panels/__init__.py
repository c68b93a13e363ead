"""The dock widgets and what they consist of."""
