"""Ways to search for λ: a grid, successive halving, Optuna."""
