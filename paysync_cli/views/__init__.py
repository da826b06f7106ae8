"""How reports look: the one JSON document and rows for scripts, tables and sentences for people."""
