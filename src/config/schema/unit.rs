//! What one unit does differently, and how that lies over the general settings.

use std::time::Duration;

use documented::DocumentedFields;
use serde::{Deserialize, Deserializer, Serialize};

use super::{BindMounts, Config, Probe, Retention, UnitDrill};
use crate::config::value::{
    BindMode, Exclude, Pattern, Percent, ReadMode, optional_duration, optional_seconds,
    optional_size, whole,
};

/// `None` and missing: as the general setting says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct UnitConfig {
    /// Whether the unit is backed up. Without it the label `kopi-docka.enable` decides, and without that the unit is.
    ///
    /// Example: `false`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Patterns in addition to `backup.exclude_patterns`.
    ///
    /// Example: `["*.tmp"]`. Since: 0.1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_patterns: Vec<Exclude>,
    /// Single numbers of `retention`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionOverride>,
    /// As `backup.stop_timeout`.
    ///
    /// Example: `120`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "optional_seconds::serialize_null",
        deserialize_with = "optional_seconds::deserialize_null::<1, 3600, _>"
    )]
    pub stop_timeout: Option<Duration>,
    /// As `backup.read`. Without it the label `kopi-docka.read` of a container decides.
    ///
    /// Example: `"everything"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_mode"
    )]
    pub read: Option<ReadMode>,
    /// As `backup.shrink_limit`.
    ///
    /// Example: `"90%"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "percent")]
    pub shrink_limit: Option<Percent>,
    /// As `backup.max_downtime`. Without it the label `kopi-docka.max-downtime` of a container decides.
    ///
    /// Example: `"30m"`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "max_downtime::serialize",
        deserialize_with = "max_downtime::deserialize"
    )]
    pub max_downtime: Option<Option<Duration>>,
    /// As `backup.bind_mounts`; lists are added to the general ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_mounts: Option<BindMountsOverride>,
    /// What its drills do besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<UnitDrill>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct RetentionOverride {
    /// As `retention.latest`.
    ///
    /// Example: `1`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub latest: Option<u32>,
    /// As `retention.hourly`.
    ///
    /// Example: `12`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub hourly: Option<u32>,
    /// As `retention.daily`.
    ///
    /// Example: `30`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub daily: Option<u32>,
    /// As `retention.weekly`.
    ///
    /// Example: `12`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub weekly: Option<u32>,
    /// As `retention.monthly`.
    ///
    /// Example: `36`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub monthly: Option<u32>,
    /// As `retention.yearly`.
    ///
    /// Example: `20`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub yearly: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct BindMountsOverride {
    /// As `backup.bind_mounts.mode`.
    ///
    /// Example: `"none"`. Since: 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<BindMode>,
    /// Patterns in addition to `backup.bind_mounts.exclude`.
    ///
    /// Example: `["/srv/cache"]`. Since: 0.1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Pattern>,
    /// Patterns in addition to `backup.bind_mounts.include`.
    ///
    /// Example: `["/srv/media"]`. Since: 0.1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Pattern>,
    /// As `backup.bind_mounts.max_size`.
    ///
    /// Example: `null`. Since: 0.1.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "limit::serialize",
        deserialize_with = "limit::deserialize"
    )]
    pub max_size: Option<Option<u64>>,
}

/// What is used for one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitSettings {
    /// What the configuration says about it; `None` leaves it to a label, and without one to the default (yes).
    pub enabled: Option<bool>,
    /// The general patterns, then the unit's own.
    pub exclude_patterns: Vec<Exclude>,
    pub retention: Retention,
    pub stop_timeout: Duration,
    /// What the configuration says of this unit alone.
    pub read: Option<ReadMode>,
    pub shrink_limit: Percent,
    /// What the configuration says of this unit alone: `Some(None)` is no limit.
    pub max_downtime: Option<Option<Duration>>,
    /// Lists are the general ones and the unit's own; the rest is the unit's, where it says something.
    pub bind_mounts: BindMounts,
}

impl UnitConfig {
    /// One with every key set, to know the keys by. No `..`, so that a new field cannot be forgotten.
    pub(in crate::config) fn filled() -> Self {
        let pattern = || Pattern::parse("*").into_iter().collect();
        Self {
            enabled: Some(true),
            exclude_patterns: Exclude::parse("*").into_iter().collect(),
            retention: Some(RetentionOverride {
                latest: Some(1),
                hourly: Some(1),
                daily: Some(1),
                weekly: Some(1),
                monthly: Some(1),
                yearly: Some(1),
            }),
            stop_timeout: Some(Duration::from_secs(1)),
            read: Some(ReadMode::Changed),
            shrink_limit: Some(Percent::HALF),
            max_downtime: Some(None),
            bind_mounts: Some(BindMountsOverride {
                mode: Some(BindMode::All),
                exclude: pattern(),
                include: pattern(),
                max_size: Some(None),
            }),
            drill: Some(UnitDrill {
                probes: vec![Probe {
                    service: None,
                    exec: Vec::new(),
                    user: None,
                    timeout: Duration::from_secs(1),
                }],
            }),
        }
    }
}

impl Config {
    /// What is run in a copy of the unit called `name`.
    pub fn probes(&self, name: &str) -> &[Probe] {
        let drill = self
            .backup
            .units
            .get(name)
            .and_then(|unit| unit.drill.as_ref());
        drill.map_or(&[], |drill| &drill.probes)
    }

    /// What is in force for the unit called `name`.
    pub fn unit(&self, name: &str) -> UnitSettings {
        let nothing = UnitConfig::default();
        let unit = self.backup.units.get(name).unwrap_or(&nothing);
        UnitSettings {
            enabled: unit.enabled,
            exclude_patterns: both(&self.backup.exclude_patterns, &unit.exclude_patterns),
            retention: unit
                .retention
                .as_ref()
                .map_or(self.retention, |own| own.over(&self.retention)),
            stop_timeout: unit.stop_timeout.unwrap_or(self.backup.stop_timeout),
            read: unit.read,
            shrink_limit: unit.shrink_limit.unwrap_or(self.backup.shrink_limit),
            max_downtime: unit.max_downtime,
            bind_mounts: unit.bind_mounts.as_ref().map_or_else(
                || self.backup.bind_mounts.clone(),
                |own| own.over(&self.backup.bind_mounts),
            ),
        }
    }
}

impl RetentionOverride {
    fn over(&self, general: &Retention) -> Retention {
        Retention {
            latest: self.latest.unwrap_or(general.latest),
            hourly: self.hourly.unwrap_or(general.hourly),
            daily: self.daily.unwrap_or(general.daily),
            weekly: self.weekly.unwrap_or(general.weekly),
            monthly: self.monthly.unwrap_or(general.monthly),
            yearly: self.yearly.unwrap_or(general.yearly),
        }
    }
}

impl BindMountsOverride {
    fn over(&self, general: &BindMounts) -> BindMounts {
        BindMounts {
            mode: self.mode.unwrap_or(general.mode),
            exclude: both(&general.exclude, &self.exclude),
            include: both(&general.include, &self.include),
            max_size: self.max_size.unwrap_or(general.max_size),
        }
    }
}

fn both<T: Clone>(general: &[T], own: &[T]) -> Vec<T> {
    [general, own].concat()
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    whole::<0, 100_000, u32, _>(deserializer).map(Some)
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Percent>, D::Error> {
    Percent::deserialize(deserializer).map(Some)
}

fn read_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ReadMode>, D::Error> {
    ReadMode::deserialize(deserializer).map(Some)
}

/// A key that is missing (as the general setting) is not one that is `null` (no limit).
mod limit {
    use serde::Serializer;

    use super::*;

    pub fn serialize<S: Serializer>(
        limit: &Option<Option<u64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        optional_size::serialize(&limit.flatten(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<u64>>, D::Error> {
        optional_size::deserialize(deserializer).map(Some)
    }
}

/// As [`limit`].
mod max_downtime {
    use serde::Serializer;

    use super::*;

    pub fn serialize<S: Serializer>(
        time: &Option<Option<Duration>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        optional_duration::serialize(&time.flatten(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<Duration>>, D::Error> {
        optional_duration::deserialize::<{ 30 * 86_400 }, _>(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: serde_json::Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_unit_without_settings_of_its_own_has_the_general_ones() {
        let config = config(json!({"backup": {"stop_timeout": 45, "exclude_patterns": ["*.tmp"]}}));
        let unit = config.unit("web");
        assert_eq!(unit.enabled, None);
        assert_eq!(unit.stop_timeout, Duration::from_secs(45));
        assert_eq!(unit.exclude_patterns, config.backup.exclude_patterns);
        assert_eq!(unit.retention, config.retention);
        assert_eq!(unit.bind_mounts, config.backup.bind_mounts);
    }

    #[test]
    fn a_unit_adds_to_lists_and_replaces_the_rest_key_by_key() {
        let config = config(json!({
            "backup": {
                "exclude_patterns": ["*.tmp"],
                "bind_mounts": {"exclude": ["/mnt/**"], "max_size": "1GiB"},
                "units": {"web": {
                    "enabled": false, "exclude_patterns": ["*.log"], "stop_timeout": 5,
                    "retention": {"daily": 30},
                    "bind_mounts": {"mode": "none", "exclude": ["/srv"], "max_size": null}
                }}
            },
            "retention": {"daily": 2, "yearly": 9}
        }));
        let unit = config.unit("web");
        assert_eq!(unit.enabled, Some(false));
        assert_eq!(unit.stop_timeout, Duration::from_secs(5));
        assert_eq!((unit.retention.daily, unit.retention.yearly), (30, 9));
        assert_eq!(unit.bind_mounts.mode, BindMode::None);
        assert_eq!(unit.bind_mounts.max_size, None);
        fn texts(list: &[impl ToString]) -> Vec<String> {
            list.iter().map(ToString::to_string).collect()
        }
        assert_eq!(texts(&unit.exclude_patterns), ["*.tmp", "*.log"]);
        assert_eq!(texts(&unit.bind_mounts.exclude), ["/mnt/**", "/srv"]);
    }
}
