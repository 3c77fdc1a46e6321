"""Sources of rows that are no text files of rows: tables, folders of notes, hospital exports."""
