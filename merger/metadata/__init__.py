"""The files that describe a merge: model card, licence and provenance."""
