//! `show-config`: what is in force, wherever it comes from. Reads the file and nothing else.

use serde_json::{Map, Value, json};

use super::config_page;
use crate::config::reference::reference;
use crate::context::Context;
use crate::error::Result;

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Show the reference of all keys instead: what each does, its values, default and an example
    #[arg(long)]
    reference: bool,
}

pub fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.reference {
        let sections = reference();
        if cx.ui.json {
            cx.ui.answer_json(&json!({ "sections": sections }));
        } else {
            cx.ui.answer(config_page::text(&sections));
        }
        return Ok(0);
    }
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
