//! Which addresses the server connects to because somebody named them over the interface: webhooks,
//! calendars.
//!
//! Whoever may do that is no administrator of the machine or its network: what answers only inside (databases, dashboards, metadata
//! of clouds) is out of reach unless the configuration names its network, and link-local addresses always are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let shift = width - self.bits;
            shift == width || one >> shift == other >> shift
        };
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a network; write one like 10.20.0.0/16 or fd00:1::/32");
        let (address, bits) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(bad)?;
        Ok(Self { address, bits })
    }
}

/// Networks inside that may be reached, with blanks between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(Vec<Network>);

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_whitespace().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Reach {
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = unwrapped(address);
        match place(address) {
            Place::Outside => true,
            Place::Inside => self.0.iter().any(|network| network.has(address)),
            Place::Nowhere => false,
        }
    }
}

/// Why an address inside is not connected to.
pub fn out_of_reach(address: &str) -> String {
    format!(
        "{address} is inside of this network; outgoing.networks in server.toml names what may be reached there"
    )
}

enum Place {
    Outside,
    /// Loopback and networks that only their owner reaches.
    Inside,
    /// Only the next machine on the wire, many at once, or none; among them the metadata services of clouds.
    Nowhere,
}

/// The IPv4 address inside of an IPv6 one (RFC 4291 §2.5.5, RFC 6052 §2.1, RFC 3056): the same machine by another name.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Metadata services of clouds that are not link-local: Azure, Alibaba, Oracle, AWS. They hand out the machine's own rights.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

fn place(address: IpAddr) -> Place {
    match address {
        _ if METADATA.contains(&address) => Place::Nowhere,
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            match (a, b, c) {
                (0, ..) | (169, 254, _) | (224.., ..) => Place::Nowhere,
                // RFC 6598, RFC 6890, RFC 2544.
                (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _) => Place::Inside,
                _ if v4.is_loopback() || v4.is_private() => Place::Inside,
                _ => Place::Outside,
            }
        }
        IpAddr::V6(v6) => match v6.segments() {
            // Site-local addresses (RFC 3879) and those of RFC 8215 are still routed in some networks.
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Place::Inside,
            _ if v6 == Ipv6Addr::LOCALHOST => Place::Inside,
            // Global unicast (RFC 4291 §2.4) but for Teredo, which holds an IPv4 address of somebody's choice.
            [0x2001, 0, ..] => Place::Nowhere,
            [0x2000..=0x3fff, ..] => Place::Outside,
            _ => Place::Nowhere,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: &[&str] =
        &["192.0.2.7", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "64:ff9b::808:808"];
    const INSIDE: &[&str] = &[
        "127.0.0.1",
        "127.9.9.9",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.100.100.201",
        "192.0.0.1",
        "198.19.0.1",
        "::1",
        "fd00:ec2::253",
        "fc00::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "::7f00:1",
        "2002:a00:1::9",
    ];
    const NOWHERE: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "::ffff:100.100.100.200",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1::1",
    ];

    #[test]
    fn inside_is_out_of_reach_unless_named_and_link_local_always() {
        let (none, all) = (Reach::default(), "0.0.0.0/0 ::/0".parse::<Reach>().unwrap());
        let table = [(OUTSIDE, true, true), (INSIDE, false, true), (NOWHERE, false, false)];
        for (addresses, by_default, named) in table {
            for text in addresses {
                let address: IpAddr = text.parse().unwrap();
                assert_eq!((none.allows(address), all.allows(address)), (by_default, named), "{text}");
            }
        }
    }

    #[test]
    fn a_network_is_reached_up_to_its_end() {
        let reach: Reach = "10.20.0.0/16  fd00:1::/32".parse().unwrap();
        let allows = |text: &str| reach.allows(text.parse().unwrap());
        assert!(allows("10.20.0.1") && allows("10.20.255.255") && allows("fd00:1:ffff::1"));
        assert!(
            !allows("10.21.0.0") && !allows("10.19.255.255") && !allows("fd00:2::1") && !allows("127.0.0.1")
        );
        assert_eq!("".parse(), Ok(Reach::default()));
        for bad in
            ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/8,::1/128", "x/8", "1.2.3.4/-1"]
        {
            assert!(bad.parse::<Reach>().unwrap_err().contains("10.20.0.0/16"), "{bad}");
        }
    }
}
