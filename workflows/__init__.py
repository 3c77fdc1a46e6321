"""What the commands do, as functions of Python: no Typer, no terminal, no environment.

A workflow takes typed values, joins the packages (`indexer`, `expander`, `merger`, `evaluator`),
reports through a `Monitor` and returns a value. The command line, and whatever else serves
PatientDx to people, only parses, calls and shows.
"""
