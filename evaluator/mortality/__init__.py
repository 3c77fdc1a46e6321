"""Mortality prediction: models asked about stays, baselines, figures with intervals, reports."""
