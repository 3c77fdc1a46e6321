"""Mortality prediction: questions to models, baselines, metrics with intervals, reports."""
