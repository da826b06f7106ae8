"""What the tool does: one verb, one file, one report. Store, queue, bank and `now` are arguments."""
