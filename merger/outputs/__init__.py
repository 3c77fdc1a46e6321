"""The folder of a merge while it grows: shards, staging, and the journal for resuming."""
