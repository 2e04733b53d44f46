//! What an error says of its cause: an operation and a path, not only the words of the kernel.

use serde_json::Value;

/// The sentences of `text`, as the program prints it, that are nothing but the words of the kernel.
pub fn bare(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut told = String::new();
    for line in text.lines() {
        let is_first = ["error:", "warning:"]
            .iter()
            .any(|word| line.starts_with(word));
        if is_first || !line.starts_with(' ') {
            told.clear();
        }
        told.push_str(line);
        if line.contains("(os error ") && !names_something(&told) {
            found.push(told.clone());
        }
    }
    found
}

/// The same for a report of a run.
pub fn bare_in_report(report: &Value) -> Vec<String> {
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let mut found: Vec<String> = texts(&report["warnings"]);
    for unit in report["units"].as_array().into_iter().flatten() {
        // A chain, the outermost first: one of it names the operation.
        found.push(texts(&unit["errors"]).join(": "));
        found.extend(texts(&unit["warnings"]));
        for gap in unit["gaps"].as_array().into_iter().flatten() {
            found.push(format!("{} {}", gap["what"], gap["detail"]));
        }
        for source in unit["sources"].as_array().into_iter().flatten() {
            found.extend(source["error"].as_str().map(str::to_owned));
        }
    }
    found.retain(|text| text.contains("(os error ") && !names_something(text));
    found
}

/// Something in backticks that is not the unit.
fn names_something(told: &str) -> bool {
    let mut words = told.split('`');
    let mut before = words.next().unwrap_or_default();
    while let (Some(name), Some(after)) = (words.next(), words.next()) {
        let is_unit = before.trim_end().ends_with("unit") || before == "warning: ";
        if !name.is_empty() && !is_unit {
            return true;
        }
        before = after;
    }
    false
}

#[test]
fn the_words_of_the_kernel_alone_are_found() {
    let bad = "error: unit `web` was not backed up: Operation not permitted (os error 1)\n";
    assert_eq!(bare(bad).len(), 1);
    assert_eq!(bare("warning: `web`: No such file (os error 2)").len(), 1);
    let good = "error: unit `web` was not backed up: `/a/b` cannot be written\n  caused by: No space left on device (os error 28)\n";
    assert_eq!(bare(good), [""; 0]);
    let report = serde_json::json!({"units": [{"errors": ["No space left on device (os error 28)"], "gaps": []}]});
    assert_eq!(bare_in_report(&report).len(), 1);
}
