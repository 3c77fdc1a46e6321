"""Reports: documents of tables as text, Markdown, LaTeX or JSON, and the style of plots."""
