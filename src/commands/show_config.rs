//! `show-config`: what is in force, wherever it comes from. Reads the file and nothing else.

use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(cx: &Context, _args: Args) -> Result<u8> {
    let loaded = cx.config()?;
    let document = loaded.document();
    let file = loaded.path.display().to_string();
    if cx.ui.json {
        cx.ui.answer_json(&with_file(&file, document));
    } else {
        cx.ui.answer(format!("Configuration: {file}"));
        cx.ui.answer_json(&document);
    }
    Ok(0)
}

/// The document with its file in front, under a name that no key of ours has.
fn with_file(file: &str, document: Value) -> Value {
    let mut whole = Map::new();
    whole.insert("_file".to_owned(), Value::from(file));
    if let Value::Object(document) = document {
        whole.extend(document);
    }
    Value::Object(whole)
}
