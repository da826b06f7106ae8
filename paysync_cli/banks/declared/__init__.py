"""Banks that nobody wrote code for: the adapter `http`, told by the sub-tables of `[banks.<name>]` what to ask and
where in the answer to look.

`spec` reads and judges the tables, `bank` asks, the others are its pieces. `docs/http-adapter.md` lists every key.
"""
