"""The state of a gateway outlives its process: how records are written down, kept and read again."""
