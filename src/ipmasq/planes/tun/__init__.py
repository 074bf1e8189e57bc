"""The live plane that every Linux can run: two TUN devices and policy routing, no eBPF.

    inside host -> IN_i --rules--> ipmasq-in  -> engine -> ipmasq-in  --main--> OUT -> remote
    remote      -> OUT  --rules--> ipmasq-out -> engine -> ipmasq-out --main--> IN_i -> inside host

The device from which a packet is read tells its side. The packets that the engine returns are written back
and leave by the kernel's own routing, so the kernel remains responsible for neighbours, routes and firewalls.
"""
