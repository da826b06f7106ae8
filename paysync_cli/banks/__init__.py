"""Bank adapters: one small class each, behind the protocol in `base`."""
