//! What has been typed before the word that is being completed.

/// The value that `flag` (`--unit`) has among `words`, with a blank or `=`.
pub fn value_of(words: &[String], flag: &str) -> Option<String> {
    let mut words = words.iter();
    let mut value = None;
    while let Some(word) = words.next() {
        if word == flag {
            value = words.next().cloned();
        } else if let Some(rest) = word.strip_prefix(flag)
            && let Some(rest) = rest.strip_prefix('=')
        {
            value = Some(rest.to_owned());
        }
    }
    value.filter(|value| !value.is_empty())
}

/// The line as the shell has it: it follows `--`.
pub fn typed() -> Vec<String> {
    std::env::args_os()
        .skip_while(|word| word != "--")
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_however_it_is_given() {
        let words: Vec<String> = [
            "kopi-docka",
            "--unit",
            "a",
            "--host=h",
            "--unit=b",
            "--volume",
            "",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(value_of(&words, "--unit").as_deref(), Some("b"));
        assert_eq!(value_of(&words, "--host").as_deref(), Some("h"));
        assert_eq!(value_of(&words, "--volume"), None);
        assert_eq!(value_of(&words, "--un"), None);
        assert_eq!(value_of(&words[..2], "--unit"), None);
    }
}
