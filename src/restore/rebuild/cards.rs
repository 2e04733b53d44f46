//! The network cards that Docker sees.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::drivers::docker::Engine;
use crate::drivers::docker::json::Json as _;
use crate::points::saved::text;

/// In the network namespace that Docker runs in; `None` where that cannot be told.
pub async fn cards(engine: &Engine) -> Option<BTreeSet<String>> {
    let pid = engine.pid().await?;
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let names = table.lines().filter_map(|line| line.split_once(':'));
    Some(names.map(|(name, _)| name.trim().to_owned()).collect())
}

/// The card that a network is made on and that `cards` lack. `request` makes the network.
pub fn missing(request: &Value, cards: &BTreeSet<String>) -> Option<String> {
    if !matches!(text(request.at("Driver")), "macvlan" | "ipvlan") {
        return None;
    }
    let parent = text(request.at("Options").at("parent"));
    // Docker makes the card of a VLAN itself, on the one that the VLAN is on.
    let below = parent.split_once('.').map_or(parent, |(card, _)| card);
    let is_here = parent.is_empty() || cards.contains(parent) || cards.contains(below);
    (!is_here).then(|| parent.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_is_missing_when_neither_it_nor_the_one_below_a_vlan_is_here() {
        let cards = BTreeSet::from(["lo".to_owned(), "eth0".to_owned()]);
        let missing = |driver: &str, parent: &str| {
            let request = json!({"Driver": driver, "Options": {"parent": parent}});
            missing(&request, &cards)
        };
        assert_eq!(missing("macvlan", "eth7").as_deref(), Some("eth7"));
        assert_eq!(missing("ipvlan", "eth7.5").as_deref(), Some("eth7.5"));
        for (driver, parent) in [
            ("macvlan", "eth0"),
            ("macvlan", "eth0.12"),
            ("macvlan", ""),
            ("bridge", "eth7"),
        ] {
            assert_eq!(missing(driver, parent), None, "{driver} {parent}");
        }
    }
}
