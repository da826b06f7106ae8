"""The room that knows Apprise: where alerts go. Apprise itself is loaded in a process of its own, for one delivery."""
