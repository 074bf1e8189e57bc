"""The fast path: programs on the interfaces apply what the engine has decided."""
