"""Query expansion and fusion. Empty so far; its seams are `patientdx.protocols.Expander`."""
