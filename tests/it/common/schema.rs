//! Holds JSON to a schema in `tests/schemas/`: the part of JSON Schema 2020-12 that they use, and nothing else is accepted in
//! them. Fields that a schema does not know are welcome: they are only ever added.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Panics with every place where `document` is not what `tests/schemas/<name>.json` says.
#[track_caller]
pub fn assert_schema(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schemas/{name}.json"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let root: Value =
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut wrong = Vec::new();
    check(&root, &root, document, name, &mut wrong);
    assert!(wrong.is_empty(), "{}\n{document:#}", wrong.join("\n"));
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix('#').unwrap();
                let rule = root.pointer(name);
                let rule = rule.unwrap_or_else(|| panic!("{at}: no definition {name}"));
                check(root, rule, value, at, wrong);
            }
            "type" => {
                let is_it = match rule {
                    Value::Array(kinds) => kinds.iter().any(|kind| is_a(kind, value)),
                    kind => is_a(kind, value),
                };
                if !is_it {
                    wrong.push(format!("{at} should be {rule}, but is {value}"));
                }
            }
            "const" if value != rule => wrong.push(format!("{at} should be {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                wrong.push(format!("{at} should be one of {rule}, but is {value}"));
            }
            "const" | "enum" => {}
            "required" => {
                for field in rule.as_array().unwrap() {
                    if value.is_object() && value.get(field.as_str().unwrap()).is_none() {
                        wrong.push(format!("{at} lacks {field}"));
                    }
                }
            }
            "properties" => {
                for (field, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(field) {
                        check(root, rule, value, &format!("{at}.{field}"), wrong);
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}[{index}]"), wrong);
                }
            }
            "anyOf" => {
                let mut all = Vec::new();
                let fits = rule.as_array().unwrap().iter().any(|rule| {
                    let before = all.len();
                    check(root, rule, value, at, &mut all);
                    all.len() == before
                });
                if !fits {
                    wrong.append(&mut all);
                }
            }
            other => panic!("{at}: `{other}` means nothing to this validator"),
        }
    }
}

fn is_a(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type `{other}`"),
    }
}
