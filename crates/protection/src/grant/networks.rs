//! From where: networks in CIDR notation (RFC 4632, RFC 4291).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address and how many of its bits count.
///
/// Invariant: the other bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// From which networks a caller may come.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Networks {
    /// From anywhere, also where nobody can tell.
    #[default]
    Anywhere,
    /// From one of these. Sorted; none lies in another, and no two make up a larger one.
    Among(Vec<Network>),
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address with a number of bits, such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct NetworkError;

impl Network {
    fn new(address: IpAddr, bits: u8) -> Option<Network> {
        let address = match address {
            IpAddr::V4(address) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Network { address, bits })
    }

    /// Whether `address` lies in it. An IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && Network::new(address, self.bits).is_some_and(|network| network == *self)
    }

    fn covers(&self, other: &Network) -> bool {
        self.bits <= other.bits && self.has(other.address)
    }

    /// The network of twice the size.
    fn parent(&self) -> Option<Network> {
        Network::new(self.address, self.bits.checked_sub(1)?)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Refuses an address with bits beyond its network: it would mean something else than it says.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| NetworkError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        if address != address.to_canonical() {
            return Err(NetworkError);
        }
        let bits = bits.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        let network = Network::new(address, bits).ok_or(NetworkError)?;
        if network.address == address { Ok(network) } else { Err(NetworkError) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Networks {
    /// These networks, in as few as say the same.
    pub fn among(mut networks: Vec<Network>) -> Networks {
        loop {
            networks.sort();
            networks.dedup();
            let inner =
                |one: &Network| networks.iter().any(|other| other != one && other.covers(one));
            networks = networks.iter().filter(|one| !inner(one)).copied().collect();
            let halves = networks.windows(2).enumerate().find_map(|(place, pair)| {
                let parent = pair[0].parent()?;
                (pair[0].bits == pair[1].bits && pair[1].parent() == Some(parent))
                    .then_some((place, parent))
            });
            let Some((place, parent)) = halves else { return Networks::Among(networks) };
            networks[place] = parent;
        }
    }

    /// Whether a caller from `address` may; an unknown address only where anywhere will do.
    pub fn has(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Networks::Anywhere, _) => true,
            (Networks::Among(networks), Some(address)) => {
                networks.iter().any(|network| network.has(address))
            }
            (Networks::Among(_), None) => false,
        }
    }

    /// Whether every address of `other` is one of these.
    pub fn covers(&self, other: &Networks) -> bool {
        match (self, other) {
            (Networks::Anywhere, _) => true,
            (_, Networks::Anywhere) => false,
            (Networks::Among(own), Networks::Among(others)) => {
                others.iter().all(|other| own.iter().any(|own| own.covers(other)))
            }
        }
    }

    /// The addresses in both; `None` if there is none.
    pub fn meet(&self, other: &Networks) -> Option<Networks> {
        match (self, other) {
            (Networks::Anywhere, networks) | (networks, Networks::Anywhere) => {
                Some(networks.clone())
            }
            (Networks::Among(own), Networks::Among(others)) => {
                // Two networks are apart, or one lies in the other.
                let inner = |one: &Vec<Network>, other: &Vec<Network>| -> Vec<Network> {
                    let within = |one: &&Network| other.iter().any(|other| other.covers(one));
                    one.iter().filter(within).copied().collect()
                };
                let both = [inner(own, others), inner(others, own)].concat();
                (!both.is_empty()).then(|| Networks::among(both))
            }
        }
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Networks::Anywhere => f.pad("anywhere"),
            Networks::Among(networks) => {
                f.pad(&networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::among(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn texts() {
        for right in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.0.2.7/32"] {
            assert_eq!(right.parse::<Network>().unwrap().to_string(), right);
        }
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
        for wrong in
            ["", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/-1", "::ffff:192.0.2.0/120", "x/8"]
        {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses() {
        let office = networks(&["192.0.2.0/24", "2001:db8::/32"]);
        for (address, inside) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("192.0.3.9", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(office.has(Some(address.parse().unwrap())), inside, "{address}");
        }
        assert!(!office.has(None) && Networks::Anywhere.has(None));
        assert!(!networks(&["::/0"]).has(Some("192.0.2.9".parse().unwrap())));
    }

    #[test]
    fn two_halves_are_a_whole() {
        let halves = networks(&["192.0.2.128/25", "192.0.2.0/26", "192.0.2.64/26", "192.0.2.5"]);
        assert_eq!(halves, networks(&["192.0.2.0/24"]));
        assert!(halves.covers(&networks(&["192.0.2.0/24"])));
        assert!(!networks(&["192.0.2.0/25", "192.0.3.0/25"]).covers(&networks(&["192.0.2.0/24"])));
        let apart = networks(&["192.0.2.0/25"]).meet(&networks(&["192.0.2.128/25"]));
        assert_eq!(apart, None);
        let meet = halves.meet(&networks(&["192.0.2.7", "198.51.100.0/24"]));
        assert_eq!(meet, Some(networks(&["192.0.2.7"])));
    }
}
