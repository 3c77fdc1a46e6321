"""Notes as hospitals export them: FHIR, OMOP, MIMIC. Each file opens one format."""
