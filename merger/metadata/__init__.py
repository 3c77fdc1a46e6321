"""What is written of a merge: its model card, its licence, and what it was made of."""
