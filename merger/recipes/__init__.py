"""Recipes: MergeKit's YAML read, written and resolved to weights, and those of the paper."""
