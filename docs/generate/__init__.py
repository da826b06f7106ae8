"""Everything that is generated from the program: `python -m docs.generate` writes it, a test compares it.

tree.py reads the command tree; the other files each write one kind of page or script from it.
"""
