"""Which hosts are link-local: 169.254.0.0/16 and fe80::/10, where clouds hand out credentials.

A redirect never leads there, neither by an address, in any way of writing it, nor by a name: the
name is judged by the address that its connection has, before anything is sent.
"""

from __future__ import annotations

__all__ = ["is_link_local"]

_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata", "instance-data"})


def is_link_local(host: str) -> bool:
    """Whether ``host`` is a link-local address, or a name known to lead to one."""
    import ipaddress  # first use: most loads meet no redirect
    import socket

    bare = host.strip("[]").rstrip(".").partition("%")[0]  # fe80::1%eth0: the zone says nothing
    if bare in _METADATA_HOSTS:
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        try:
            # the resolver also takes 2852039166, 0xa9.0xfe.43518 and 169.254.43518
            address = ipaddress.ip_address(socket.inet_aton(bare))
        except OSError:
            return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address == ipaddress.IPv6Address("fd00:ec2::254"):  # EC2's metadata service
            return True
        return address.is_link_local or (inner is not None and inner.is_link_local)
    return address.is_link_local
