"""What writes the generated pages of the site and executes its snippets. ``names``, ``snippets`` and ``stored`` need no Sphinx."""
