"""The state of a gateway outlives its process, and its machine: how records are kept, and shared with others."""
