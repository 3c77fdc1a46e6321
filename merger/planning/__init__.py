"""From a recipe and its inputs to the tensors of the merge, and the guards before writing."""
