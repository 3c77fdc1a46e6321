"""The composition layer: options in, rooms joined, results out. No algorithm lives here."""
