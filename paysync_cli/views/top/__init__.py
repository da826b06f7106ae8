"""`paysync top`: the full-screen live view. The only part of the tool that loads Textual."""
