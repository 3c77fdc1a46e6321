"""Reports: tables and documents as text, Markdown, LaTeX or JSON, and figures."""
