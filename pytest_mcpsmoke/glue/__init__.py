"""Where the product meets pytest: the only folder, beside plugin.py, that imports it."""
