//! Inputs that no program should have given us: what another program did give, damaged.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

/// `sample` with bytes cut out, put in and replaced, and its end cut off.
pub fn damaged(sample: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..3u8, any::<u8>());
    (
        vec(edit, 0..12),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(move |(edits, end, is_cut)| {
            let mut bytes = sample.to_vec();
            for (at, what, byte) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match what {
                    0 => _ = bytes.remove(at),
                    1 => bytes.insert(at, byte),
                    _ => bytes[at] = byte,
                }
            }
            if is_cut && !bytes.is_empty() {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        })
}

/// The same as text: what is not UTF-8 is replaced.
pub fn damaged_text(sample: &'static str) -> impl Strategy<Value = String> {
    damaged(sample.as_bytes()).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Any JSON, not deep.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-zA-Z:]{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// `sample` with some of its values replaced by other JSON, or removed.
pub fn odd(sample: Value) -> impl Strategy<Value = Value> {
    let edit = (any::<prop::sample::Index>(), prop::option::of(any_json()));
    vec(edit, 0..6).prop_map(move |edits| {
        let mut value = sample.clone();
        for (at, new) in edits {
            let count = places(&value);
            let mut left = at.index(count.max(1));
            replace(&mut value, &mut left, new.as_ref());
        }
        value
    })
}

fn places(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|item| 1 + places(item)).sum(),
        Value::Object(fields) => fields.values().map(|field| 1 + places(field)).sum(),
        _ => 0,
    }
}

/// Replaces the `left`th value in `value`, or removes it. Whether it was there.
fn replace(value: &mut Value, left: &mut usize, new: Option<&Value>) -> bool {
    match value {
        Value::Array(items) => {
            for index in 0..items.len() {
                if *left == 0 {
                    match new {
                        Some(new) => items[index] = new.clone(),
                        None => _ = items.remove(index),
                    }
                    return true;
                }
                *left -= 1;
                if replace(&mut items[index], left, new) {
                    return true;
                }
            }
            false
        }
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *left == 0 {
                    match new {
                        Some(new) => _ = fields.insert(name, new.clone()),
                        None => _ = fields.remove(&name),
                    }
                    return true;
                }
                *left -= 1;
                if replace(&mut fields[&name], left, new) {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}

#[test]
fn an_odd_value_is_another_one() {
    let sample = serde_json::json!({"a": [1, {"b": 2}], "c": 3});
    assert_eq!(places(&sample), 5);
    for at in 0..5 {
        let mut value = sample.clone();
        let mut left = at;
        assert!(replace(&mut value, &mut left, Some(&Value::Null)));
        assert_ne!(value, sample);
    }
}
