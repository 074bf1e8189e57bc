"""The live plane that every Linux can run: two TUN devices and policy routing, no eBPF.

    inside host -> IN_i --rules--> ipmasq-in  -> engine -> ipmasq-in  --main--> OUT -> remote
    remote      -> OUT  --rules--> ipmasq-out -> engine -> ipmasq-out --main--> IN_i -> inside host

Which device a packet is read from says which side it came from. What the engine answers is written back
and leaves by the kernel's own routing, so neighbours, routes and firewalls stay the kernel's business.
"""
