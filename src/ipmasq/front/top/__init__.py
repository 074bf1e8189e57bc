"""`ipmasq top`: the gateway in a terminal. Only this command imports Textual."""
