"""The fast path: programs on the interfaces repeat what the engine has decided."""
