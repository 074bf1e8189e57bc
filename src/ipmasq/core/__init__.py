"""The NAT itself. Pure: time and chance are arguments, nothing here touches a socket or a clock."""
