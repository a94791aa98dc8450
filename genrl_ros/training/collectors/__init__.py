"""Policies that learn from a simulator's state, to make datasets with."""
