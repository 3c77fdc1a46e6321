"""The engines that carry out a merge: the streaming engine, and MergeKit."""
