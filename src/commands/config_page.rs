//! The reference of the configuration, as text and as a manual page.

use roff::{Inline, Roff, bold, italic, roman};

use crate::config::reference::{Key, Section};
use crate::config::{SYSTEM_FILE, reference};

/// What a file begins with; the rest is the reference.
const ABOUT: &str = "The configuration is a JSON file. Every key that is left out has its default. Keys that are not known are ignored \
     with a warning. Values that are not valid are errors.";

pub const NAME: &str = "kopi-docka.json";

pub fn text(sections: &[Section]) -> String {
    let mut lines = vec![ABOUT.to_owned()];
    for section in sections {
        if !section.path.is_empty() {
            lines.push(String::new());
            lines.push(format!("== {}: {}", section.path, section.about));
        }
        for key in &section.keys {
            lines.push(String::new());
            lines.push(key.path.clone());
            lines.push(format!("    {}", key.about));
            lines.push(format!("    Value: {}", key.expects));
            if let Some(default) = &key.default {
                lines.push(format!("    Default: {default}"));
            }
            lines.push(format!("    Example: {}", key.example));
            lines.push(format!("    Since: {}", key.since));
        }
    }
    lines.join("\n")
}

/// `kopi-docka.json(5)`
pub fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", [NAME, "5", "", "kopi-docka", "File Formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman("kopi-docka.json - configuration of kopi-docka")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([
        italic(SYSTEM_FILE),
        roman(", then "),
        italic("~/.config/kopi-docka/config.json"),
        roman(", or the file given with "),
        bold("--config"),
    ]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(ABOUT)]);
    for section in reference::reference() {
        let title = if section.path.is_empty() {
            "FILE".to_owned()
        } else {
            section.path.to_uppercase().replace("<NAME>", "<name>")
        };
        page.control("SH", [title.as_str()]);
        if !section.about.is_empty() {
            page.text(inlines(&section.about));
        }
        for key in &section.keys {
            entry(&mut page, key);
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("kopi-docka"),
        roman("(1), "),
        bold("kopi-docka-show-config"),
        roman("(1)"),
    ]);
    page.to_roff()
}

fn entry(page: &mut Roff, key: &Key) {
    page.control("TP", []);
    page.text([bold(key.path.as_str())]);
    page.text(inlines(&key.about));
    page.control("RS", []);
    let mut lines = vec![("Value", key.expects.clone())];
    lines.extend(
        key.default
            .as_ref()
            .map(|default| ("Default", default.to_string())),
    );
    lines.push(("Example", key.example.clone()));
    lines.push(("Since", key.since.clone()));
    for (what, value) in lines {
        page.text([roman(format!("{what}: ")), roman(value)]);
        page.control("br", []);
    }
    page.control("RE", []);
}

/// Code is bold.
fn inlines(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| {
            if index % 2 == 1 {
                bold(part)
            } else {
                roman(part)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_page_have_every_key() {
        let sections = reference::reference();
        let (text, page) = (text(&sections), page());
        for key in sections.iter().flat_map(|section| &section.keys) {
            assert!(
                text.contains(&format!("\n{}\n    ", key.path)),
                "{}",
                key.path
            );
            let in_roff = key.path.replace('-', "\\-");
            assert!(
                page.contains(&format!("\\fB{in_roff}\\fR")),
                "{}\n{page}",
                key.path
            );
        }
    }
}
