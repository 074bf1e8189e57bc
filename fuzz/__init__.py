"""Coverage-guided fuzzing of everything that a stranger can say to the gateway; see README.md."""
