"""What is reported of a search for λ: tables, curves, the ablation, the model card."""
