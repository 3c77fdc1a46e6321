"""Sources of cohorts: MIMIC-IV and MIMIC-III, the PhysioNet challenge of 2012, MEDS folders."""
