"""The folder of a merge while it is written: checks, staging, shards, and a journal."""
