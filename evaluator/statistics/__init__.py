"""Statistics: intervals, significance tests, calibration, discrimination, folds."""
