//! Labels: controllers act on those of any container, so the copy has none of the original's.

use serde_json::{Map, Value};

use crate::discovery::labels::DRILL;

/// What compose writes over in any case.
const OF_COMPOSE: &str = "com.docker.compose.";

/// Only that of the drill. Those of an image cannot be taken away, but emptied.
pub fn labels(id: &str, of_image: &[String]) -> Value {
    let emptied = of_image
        .iter()
        .filter(|name| !name.starts_with(OF_COMPOSE) && *name != DRILL)
        .map(|name| (super::given::escaped(name), Value::from("")));
    let mut labels: Map<String, Value> = emptied.collect();
    labels.insert(DRILL.to_owned(), Value::from(id));
    labels.into()
}
