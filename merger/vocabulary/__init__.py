"""Vocabularies: the tokens that a model's tokenizer files name, and the rows that they need."""
