//! What the operator says about a unit: configuration and labels together.
//!
//! A container with the label `kopi-docka.enable=false` keeps what only it has mounted out of the backup; it is
//! still stopped with its unit. When every container of a unit says so, the unit is not backed up at all. The
//! configuration's `enabled` wins over the labels. Any other label holds for the whole unit.

use std::path::Path;

use super::globs::Globs;
use super::labels;
use super::rules::{BindMode, Rules};
use crate::model::exclude;
use crate::model::unit::Container;

pub struct Policy {
    pub enabled: bool,
    /// Patterns for `tar --exclude`: global ones, the unit's, its labels'.
    pub exclude_patterns: Vec<String>,
    pub max_bind_bytes: Option<u64>,
    mode: BindMode,
    unit_exclude: Globs,
    unit_include: Globs,
    exclude: Globs,
    include: Globs,
    /// About patterns that cannot be used, and labels that do less than they seem to.
    pub warnings: Vec<String>,
}

/// What the operator wants with a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Named to be saved: also when it is large or looks like the system's.
    Include,
    Exclude,
    /// Not mentioned.
    Default,
}

impl Policy {
    pub fn new(rules: &Rules, unit: &str, containers: &[Container]) -> Self {
        let own = rules.units.get(unit).cloned().unwrap_or_default();
        let all_say_no =
            !containers.is_empty() && containers.iter().all(|c| labels::says_no(&c.labels));
        let mut warnings = Vec::new();
        let enabled = own.enabled.unwrap_or(!all_say_no);
        let say_no: Vec<String> = containers
            .iter()
            .filter(|container| labels::says_no(&container.labels))
            .map(|container| format!("`{}`", container.name))
            .collect();
        if enabled && !all_say_no && !say_no.is_empty() {
            warnings.push(format!(
                "the label `kopi-docka.enable=false` of {} leaves out only what no other container of unit `{unit}` has mounted: the unit is saved, and \
                 stopped for it. To leave it out as a whole, give all its containers the label, or set `backup.units.{unit}.enabled` to false",
                say_no.join(", ")
            ));
        }
        let mut globs = |patterns: Vec<&str>| {
            let (globs, wrong) = Globs::new(patterns);
            warnings.extend(
                wrong
                    .into_iter()
                    .map(|wrong| format!("bind mounts: {wrong}")),
            );
            globs
        };
        let texts = |list: &'_ [String]| -> Vec<String> { list.to_vec() };
        let unit_exclude: Vec<&str> = own
            .bind_exclude
            .iter()
            .map(String::as_str)
            .chain(
                containers
                    .iter()
                    .flat_map(|c| labels::bind_excludes(&c.labels)),
            )
            .collect();
        let unit_include: Vec<&str> = own
            .bind_include
            .iter()
            .map(String::as_str)
            .chain(
                containers
                    .iter()
                    .flat_map(|c| labels::bind_includes(&c.labels)),
            )
            .collect();
        let mut exclude_patterns = texts(&rules.exclude_patterns);
        exclude_patterns.extend(texts(&own.exclude_patterns));
        let of_labels = |c: &'_ Container| -> Vec<(String, String)> {
            let patterns = labels::excludes(&c.labels);
            patterns
                .map(|pattern| (c.name.clone(), pattern.to_owned()))
                .collect()
        };
        let mut wrong_labels = Vec::new();
        // The configuration's were checked when it was read.
        for (name, pattern) in containers.iter().flat_map(of_labels) {
            match exclude::check(&pattern) {
                Ok(()) if exclude_patterns.contains(&pattern) => {}
                Ok(()) => exclude_patterns.push(pattern),
                Err(wrong) => wrong_labels.push(format!(
                    "container `{name}`: `{pattern}` in its label `{}` leaves nothing out: {wrong}",
                    labels::EXCLUDE
                )),
            }
        }
        let (unit_exclude, unit_include) = (globs(unit_exclude), globs(unit_include));
        let exclude = globs(rules.binds.exclude.iter().map(String::as_str).collect());
        let include = globs(rules.binds.include.iter().map(String::as_str).collect());
        warnings.extend(wrong_labels);
        Self {
            enabled,
            exclude_patterns,
            max_bind_bytes: own.max_bind_bytes.or(rules.binds.max_bytes),
            mode: own.bind_mode.unwrap_or(rules.binds.mode),
            unit_exclude,
            unit_include,
            exclude,
            include,
            warnings,
        }
    }

    /// The unit's own words come before those for all units, and a no before a yes of the same rank.
    pub fn wish(&self, bind: &Path) -> Wish {
        match (self.mode, self.spoken(bind)) {
            (BindMode::None, _) | (BindMode::Include, None) => Wish::Exclude,
            (_, Some(wish)) => wish,
            (BindMode::All, None) => Wish::Default,
        }
    }

    /// Whether `path`, which need not be a bind, is excluded by its name.
    pub fn is_named_out(&self, path: &Path) -> bool {
        self.spoken(path) == Some(Wish::Exclude)
    }

    fn spoken(&self, path: &Path) -> Option<Wish> {
        [
            (&self.unit_exclude, Wish::Exclude),
            (&self.unit_include, Wish::Include),
            (&self.exclude, Wish::Exclude),
            (&self.include, Wish::Include),
        ]
        .into_iter()
        .find(|(globs, _)| globs.matches(path))
        .map(|(_, wish)| wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::rules::{BindRules, UnitRules};
    use crate::discovery::testing;

    fn wish(rules: &Rules, labels: &[(&str, &str)], bind: &str) -> Wish {
        let container = testing::labelled("a", labels);
        Policy::new(rules, "unit", &[container]).wish(Path::new(bind))
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_unit_can_take_back_what_holds_for_all() {
        let rules = Rules {
            binds: BindRules {
                exclude: texts(&["/mnt"]),
                ..BindRules::default()
            },
            ..Rules::default()
        };
        assert_eq!(wish(&rules, &[], "/mnt/a"), Wish::Exclude);
        assert_eq!(wish(&rules, &[], "/srv"), Wish::Default);
        let label = [("kopi-docka.bind.include", "/mnt/a,/mnt/b")];
        assert_eq!(wish(&rules, &label, "/mnt/b"), Wish::Include);
        let both = [label[0], ("kopi-docka.bind.exclude", "/mnt/a/cache")];
        assert_eq!(wish(&rules, &both, "/mnt/a/cache"), Wish::Exclude);
    }

    #[test]
    fn a_wrong_pattern_in_a_label_leaves_nothing_out_and_is_told() {
        let label = [("kopi-docka.exclude", "*.log,[a,{b,c}")];
        let container = testing::labelled("a", &label);
        let policy = Policy::new(&Rules::default(), "unit", &[container]);
        assert_eq!(policy.exclude_patterns, ["*.log"]);
        assert_eq!(policy.warnings.len(), 3, "{:?}", policy.warnings);
        assert!(
            policy.warnings[0]
                .contains("`[a` in its label `kopi-docka.exclude` leaves nothing out")
        );
    }

    #[test]
    fn the_mode_says_what_happens_to_what_nobody_mentions() {
        let mut rules = Rules::default();
        rules.binds.mode = BindMode::Include;
        rules.binds.include = texts(&["/srv"]);
        assert_eq!(wish(&rules, &[], "/srv/a"), Wish::Include);
        assert_eq!(wish(&rules, &[], "/opt"), Wish::Exclude);
        let own = UnitRules {
            bind_mode: Some(BindMode::None),
            ..UnitRules::default()
        };
        rules.units.insert("unit".into(), own);
        assert_eq!(wish(&rules, &[], "/srv/a"), Wish::Exclude);
    }

    #[test]
    fn a_unit_is_disabled_when_all_its_containers_say_so_and_the_configuration_wins() {
        let no = testing::labelled("a", &[("kopi-docka.enable", "false")]);
        let silent = testing::labelled("b", &[]);
        let mut rules = Rules::default();
        let enabled =
            |rules: &Rules, members: &[Container]| Policy::new(rules, "unit", members).enabled;
        assert!(!enabled(&rules, std::slice::from_ref(&no)));
        assert!(enabled(&rules, &[no.clone(), silent.clone()]));
        assert!(enabled(&rules, &[]));
        for word in [true, false] {
            let own = UnitRules {
                enabled: Some(word),
                ..UnitRules::default()
            };
            rules.units.insert("unit".into(), own);
            assert_eq!(enabled(&rules, std::slice::from_ref(&no)), word);
            assert_eq!(enabled(&rules, std::slice::from_ref(&silent)), word);
        }
    }
}
