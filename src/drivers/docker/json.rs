//! Docker's JSON, read and changed without knowing all of it. Nothing here panics, whatever the JSON is.

use serde_json::{Map, Value};

static NOTHING: Value = Value::Null;

pub trait Json {
    /// The field of that name; `null` when there is none.
    fn at(&self, key: &str) -> &Value;
    /// What is no object becomes one.
    fn set(&mut self, key: &str, value: Value);
}

impl Json for Value {
    fn at(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NOTHING)
    }

    fn set(&mut self, key: &str, value: Value) {
        if !self.is_object() {
            *self = Value::Object(Map::new());
        }
        if let Value::Object(fields) = self {
            fields.insert(key.to_owned(), value);
        }
    }
}
