//! This host's addresses, as ICE host candidates.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

/// More addresses than this only slow the connectivity checks down (container hosts have hundreds of bridges).
const MAX_ADDRESSES: usize = 16;

/// The addresses to offer to a peer, most promising first.
///
/// `towards` is the address at which the peer's signalling answered. Loopback addresses are offered only when the peer is on
/// this very host, or when the host has no others. Link-local IPv6 is left out, since it means nothing without a zone
/// (RFC 8445 section 5.1.1.1); so is everything that is no unicast address.
///
/// # Errors
/// The operating system does not list its interfaces.
pub fn host_addresses(towards: Option<IpAddr>) -> io::Result<Vec<IpAddr>> {
    let found = if_addrs::get_if_addrs()?;
    Ok(choose(found.iter().map(if_addrs::Interface::ip), towards.is_some_and(|ip| ip.is_loopback())))
}

fn choose(found: impl Iterator<Item = IpAddr>, local_peer: bool) -> Vec<IpAddr> {
    let mut loopback = Vec::new();
    let mut others = Vec::new();
    for ip in found.filter(is_usable) {
        let list = if ip.is_loopback() { &mut loopback } else { &mut others };
        if !list.contains(&ip) {
            list.push(ip);
        }
    }
    let mut chosen = if local_peer || others.is_empty() { loopback } else { Vec::new() };
    chosen.append(&mut others);
    chosen.truncate(MAX_ADDRESSES);
    chosen
}

fn is_usable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast()),
        IpAddr::V6(ip) => {
            !(ip.is_unspecified() || ip.is_multicast() || is_link_local(ip) || ip.to_ipv4_mapped().is_some())
        }
    }
}

fn is_link_local(ip: &Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().expect("an address")).collect()
    }

    #[test]
    fn loopback_is_offered_to_a_local_peer_first() {
        let found = ips(&["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "2001:db8::7"]);
        assert_eq!(choose(found.into_iter(), true), ips(&["127.0.0.1", "::1", "192.168.1.5", "2001:db8::7"]));
    }

    #[test]
    fn loopback_is_not_offered_to_others_unless_there_is_nothing_else() {
        let found = ips(&["127.0.0.1", "192.168.1.5", "192.168.1.5", "::1"]);
        assert_eq!(choose(found.into_iter(), false), ips(&["192.168.1.5"]));
        assert_eq!(choose(ips(&["127.0.0.1", "::1"]).into_iter(), false), ips(&["127.0.0.1", "::1"]));
    }

    #[test]
    fn the_list_is_bounded() {
        let many = (0..=255).map(|n| IpAddr::from([10, 0, 0, n]));
        assert_eq!(choose(many, false).len(), MAX_ADDRESSES);
    }

    #[test]
    fn this_host_has_an_address() {
        assert!(!host_addresses(None).expect("a list").is_empty());
    }
}
