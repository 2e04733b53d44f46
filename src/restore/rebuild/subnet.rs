//! Ranges of addresses.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    is_v4: bool,
    first: u128,
    last: u128,
    prefix: u32,
}

impl Subnet {
    /// Such as `172.18.0.0/16`, `fd00::/64`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u32 = prefix.parse().ok()?;
        let (is_v4, address) = number(address.parse().ok()?);
        let width = if is_v4 { 32 } else { 128 };
        let free = width - (prefix <= width).then_some(prefix)?;
        let low = 1u128.checked_shl(free).map_or(u128::MAX, |range| range - 1);
        Some(Self {
            is_v4,
            first: address & !low,
            last: address | low,
            prefix,
        })
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_v4 == other.is_v4 && self.first <= other.last && other.first <= self.last
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let (is_v4, address) = number(address);
        self.is_v4 == is_v4 && (self.first..=self.last).contains(&address)
    }

    /// As Docker assigns them by default, with `gateway` in it.
    pub fn looks_automatic(&self, gateway: Option<IpAddr>) -> bool {
        let is_first = gateway.is_some_and(|gateway| number(gateway).1 == self.first + 1);
        let is_in = |pool: &str| Self::parse(pool).is_some_and(|pool| pool.overlaps(self));
        is_first
            && match self.prefix {
                16 => is_in("172.16.0.0/12"),
                20 => is_in("192.168.0.0/16"),
                64 => is_in("fd00::/8"),
                _ => false,
            }
    }
}

fn number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (true, u128::from(u32::from(address))),
        IpAddr::V6(address) => (false, u128::from(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_when_they_share_an_address() {
        let subnet = |text| Subnet::parse(text).unwrap();
        assert!(subnet("172.18.0.0/16").overlaps(&subnet("172.18.9.0/24")));
        assert!(subnet("172.18.9.0/24").overlaps(&subnet("172.18.0.0/16")));
        assert!(!subnet("172.18.0.0/16").overlaps(&subnet("172.19.0.0/16")));
        assert!(subnet("0.0.0.0/0").overlaps(&subnet("10.0.0.1/32")));
        assert!(subnet("::/0").overlaps(&subnet("fd00::/64")));
        assert!(!subnet("::/0").overlaps(&subnet("10.0.0.0/8")));
        assert!(subnet("10.1.0.0/16").contains("10.1.255.255".parse().unwrap()));
        assert!(!subnet("10.1.0.0/16").contains("10.2.0.0".parse().unwrap()));
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "x/8",
            "10.0.0.0/-1",
            "::/129",
        ] {
            assert_eq!(Subnet::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn subnets_from_dockers_own_pools_are_told_from_chosen_ones() {
        let looks = |text: &str, gateway: Option<&str>| {
            let gateway = gateway.map(|gateway| gateway.parse().unwrap());
            Subnet::parse(text).unwrap().looks_automatic(gateway)
        };
        assert!(looks("172.18.0.0/16", Some("172.18.0.1")));
        assert!(looks("192.168.48.0/20", Some("192.168.48.1")));
        assert!(!looks("172.18.0.0/16", None));
        assert!(!looks("172.18.0.0/16", Some("172.18.0.254")));
        assert!(!looks("172.30.5.0/24", Some("172.30.5.1")));
        assert!(!looks("10.5.0.0/16", Some("10.5.0.1")));
    }
}
