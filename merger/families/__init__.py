"""What is known of the families of models: layers, embeddings, tying and lists in config.json.

The table `families.json` is made from transformers (`tests/support/family_table.py`); reading it
needs nothing but this package. Models of other types are judged by their own tensors.
"""
