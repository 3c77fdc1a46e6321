"""Reports of a search for λ: tables, curves, the ablation, remarks for the model card."""
