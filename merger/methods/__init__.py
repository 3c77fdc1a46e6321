"""The merge methods that PatientDx carries out itself, one file each; see `registry`."""
