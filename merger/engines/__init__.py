"""The engines that carry a merge out: ours, which streams, and MergeKit."""
