"""From a recipe and its inputs to a plan of tensors, with checks before anything is written."""
