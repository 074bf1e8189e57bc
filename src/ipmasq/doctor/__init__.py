"""What is wrong with this host for the gateway, and how it is put right (`ipmasq doctor`).

`host` gathers what must be known, each file of `subjects` is one subject: a function from the host to findings,
and `examine` asks all of them. A check that `ipmasq check` or the running gateway makes already is used here, and
not written again.
"""
