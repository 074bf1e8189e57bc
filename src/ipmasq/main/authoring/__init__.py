"""For authors of helpers: a new project, and a trial of a helper without a gateway."""
