"""For the operator: one small file per command; an error becomes an exit status in `main` alone."""
