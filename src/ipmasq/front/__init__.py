"""What people see: each part speaks the control interface only."""
