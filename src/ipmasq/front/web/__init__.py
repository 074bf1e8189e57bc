"""`ipmasq web`: pages for a browser, served by an unprivileged process that speaks the control interface only."""
