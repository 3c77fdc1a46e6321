"""The gate before an output is published: it is whole, agrees with its config.json, and loads."""
