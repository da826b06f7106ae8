"""The pure core: what a QR is, how an answer of the bank is judged, when to ask again. No I/O, no clock."""
