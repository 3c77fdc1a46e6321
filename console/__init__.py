"""How the command line reads options and prints results; it knows nothing of patients or models."""
