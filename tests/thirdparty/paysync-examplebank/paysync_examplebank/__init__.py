"""An adapter for paysync, in a package of its own."""
