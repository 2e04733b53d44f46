//! From what an operator writes to globs: braces are multiplied out, the beginning is anchored.

use super::Wrong;
use super::glob::{Glob, Token};

/// More than these are no longer a pattern but a list.
const MOST: usize = 128;

/// Something in a pattern, with its text for tar.
#[derive(Clone, Debug)]
struct Piece {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Slash,
    Open,
    Comma,
    Close,
    /// What a glob is made of; a character can be several bytes.
    Tokens(Vec<Token>),
}

/// One glob out of a pattern with braces.
#[derive(Debug)]
pub struct Alternative {
    /// It begins at the source itself instead of at any component.
    is_anchored: bool,
    components: Vec<Vec<Piece>>,
}

pub fn parse(pattern: &str) -> Result<Vec<Alternative>, Wrong> {
    if pattern.trim().is_empty() {
        return Err(Wrong("it is empty"));
    }
    if pattern.contains(['\0', '\n']) {
        return Err(Wrong("it holds a character that no list of names can hold"));
    }
    let expanded = expand(&pieces(pattern)?)?;
    let mut alternatives = Vec::new();
    for pieces in expanded {
        alternatives.extend(alternative(&pieces)?);
    }
    if alternatives.len() > MOST {
        return Err(TOO_MANY);
    }
    Ok(alternatives)
}

const TOO_MANY: Wrong = Wrong("its braces stand for too many patterns");
const UNBALANCED: Wrong =
    Wrong(r"its braces are not balanced (write `\{` for the character itself)");

impl Alternative {
    /// As `tar --anchored --exclude` takes it.
    pub fn text(&self) -> String {
        let components: Vec<String> = self
            .components
            .iter()
            .map(|component| component.iter().map(|piece| piece.text.as_str()).collect())
            .collect();
        let prefix = if self.is_anchored { "./" } else { "*/" };
        format!("{prefix}{}", components.join("/"))
    }

    pub fn glob(&self) -> Glob {
        let first = if self.is_anchored {
            Token::Byte(b'.')
        } else {
            Token::Star
        };
        let mut tokens = vec![first];
        for component in &self.components {
            tokens.push(Token::Byte(b'/'));
            for piece in component {
                if let Kind::Tokens(some) = &piece.kind {
                    tokens.extend(some.iter().cloned());
                }
            }
        }
        Glob::new(tokens)
    }
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let (_, after) = rest.split_at(c.len_utf8());
        rest = after;
        let plain = |kind| Piece {
            text: c.to_string(),
            kind,
        };
        pieces.push(match c {
            '/' => plain(Kind::Slash),
            '{' => plain(Kind::Open),
            ',' => plain(Kind::Comma),
            '}' => plain(Kind::Close),
            '*' => plain(Kind::Tokens(vec![Token::Star])),
            '?' => plain(Kind::Tokens(vec![Token::Any])),
            '[' => {
                let (set, length) = set(after)?;
                let (text, after) = after.split_at(length);
                rest = after;
                Piece {
                    text: format!("[{text}"),
                    kind: Kind::Tokens(vec![Token::Set(set)]),
                }
            }
            '\\' => {
                let Some(next) = after.chars().next() else {
                    return Err(Wrong(r"nothing follows the last `\`"));
                };
                let (_, after) = after.split_at(next.len_utf8());
                rest = after;
                if next == '/' {
                    Piece {
                        text: "/".to_owned(),
                        kind: Kind::Slash,
                    }
                } else {
                    Piece {
                        text: format!("\\{next}"),
                        kind: literal(next),
                    }
                }
            }
            c => plain(literal(c)),
        });
    }
    Ok(pieces)
}

fn literal(c: char) -> Kind {
    let mut buffer = [0; 4];
    let bytes = c.encode_utf8(&mut buffer).bytes();
    Kind::Tokens(bytes.map(Token::Byte).collect())
}

const OPEN_SET: Wrong = Wrong(r"a `[` has no `]` (write `\[` for the character itself)");

/// The bytes of a bracket expression whose `[` has been read, and its length in `text` with the `]`.
fn set(text: &str) -> Result<(Box<[bool; 256]>, usize), Wrong> {
    let mut set = [false; 256];
    let bytes = text.as_bytes();
    let mut at = 0;
    let is_negated = matches!(bytes.first(), Some(b'!' | b'^'));
    at += usize::from(is_negated);
    let first = at;
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (None, _) => return Err(OPEN_SET),
            (Some(b']'), _) if at > first => break,
            (Some(b'['), Some(b':')) => at = class(text, at, &mut set)?,
            (Some(b'['), Some(b'=' | b'.')) => {
                return Err(Wrong(
                    "it has `[=` or `[.` in brackets, which no locale but some knows",
                ));
            }
            _ => {
                let low = member(bytes, &mut at)?;
                let mut high = low;
                if bytes.get(at) == Some(&b'-') && !matches!(bytes.get(at + 1), None | Some(b']')) {
                    at += 1;
                    high = member(bytes, &mut at)?;
                }
                if low > high {
                    return Err(Wrong("a range in its brackets ends before it begins"));
                }
                for byte in low..=high {
                    mark(&mut set, byte);
                }
            }
        }
    }
    if is_negated {
        set = set.map(|is_in| !is_in);
    }
    Ok((Box::new(set), at + 1))
}

/// One character of a bracket expression. Tar compares bytes, and one beyond ASCII has several.
fn member(bytes: &[u8], at: &mut usize) -> Result<u8, Wrong> {
    if bytes.get(*at) == Some(&b'\\') {
        *at += 1;
    }
    let byte = *bytes.get(*at).ok_or(OPEN_SET)?;
    *at += 1;
    if byte.is_ascii() {
        Ok(byte)
    } else {
        Err(Wrong(
            "tar knows only ASCII characters in brackets (write `{ä,ö}` for such)",
        ))
    }
}

/// `[:alpha:]` at `at`; the place after it.
fn class(text: &str, at: usize, set: &mut [bool; 256]) -> Result<usize, Wrong> {
    let rest = text.get(at + 2..).unwrap_or_default();
    let (name, _) = rest.split_once(":]").ok_or(OPEN_SET)?;
    let is_in: fn(&u8) -> bool = match name {
        "alpha" => u8::is_ascii_alphabetic,
        "digit" => u8::is_ascii_digit,
        "alnum" => u8::is_ascii_alphanumeric,
        "upper" => u8::is_ascii_uppercase,
        "lower" => u8::is_ascii_lowercase,
        "punct" => u8::is_ascii_punctuation,
        "xdigit" => u8::is_ascii_hexdigit,
        "cntrl" => u8::is_ascii_control,
        "graph" => u8::is_ascii_graphic,
        "print" => |byte| matches!(byte, b' '..=b'~'),
        "blank" => |byte| matches!(byte, b' ' | b'\t'),
        "space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        _ => return Err(Wrong("it has a class of characters that tar does not know")),
    };
    for byte in (0..=u8::MAX).filter(is_in) {
        mark(set, byte);
    }
    Ok(at + 2 + name.len() + 2)
}

fn mark(set: &mut [bool; 256], byte: u8) {
    if let Some(place) = set.get_mut(usize::from(byte)) {
        *place = true;
    }
}

/// Multiplies the outermost braces out, and those within.
fn expand(pieces: &[Piece]) -> Result<Vec<Vec<Piece>>, Wrong> {
    let mut done: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        let choices = match piece.kind {
            Kind::Close => return Err(UNBALANCED),
            Kind::Open => {
                let (choices, end) = choices(pieces, at)?;
                at = end;
                choices
            }
            // A comma outside of braces is one.
            Kind::Comma => vec![vec![Piece {
                text: ",".to_owned(),
                kind: literal(','),
            }]],
            Kind::Slash | Kind::Tokens(_) => vec![vec![piece.clone()]],
        };
        at += 1;
        if done.len() * choices.len() > MOST {
            return Err(TOO_MANY);
        }
        done = done
            .iter()
            .flat_map(|begun| {
                choices
                    .iter()
                    .map(move |choice| [begun.as_slice(), choice].concat())
            })
            .collect();
    }
    Ok(done)
}

/// What the brace at `open` stands for, and where it is closed.
fn choices(pieces: &[Piece], open: usize) -> Result<(Vec<Vec<Piece>>, usize), Wrong> {
    let mut depth = 0;
    let mut all = Vec::new();
    let mut one: Vec<Piece> = Vec::new();
    for (at, piece) in pieces.iter().enumerate().skip(open) {
        let is_outermost = depth == 1;
        match piece.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        match piece.kind {
            Kind::Open if depth == 1 => {}
            Kind::Comma if is_outermost => all.extend(expand(&std::mem::take(&mut one))?),
            Kind::Close if depth == 0 => {
                all.extend(expand(&one)?);
                return Ok((all, at));
            }
            _ => one.push(piece.clone()),
        }
    }
    Err(UNBALANCED)
}

/// One without braces; more than one when `/**/` also stands for `/`.
fn alternative(pieces: &[Piece]) -> Result<Vec<Alternative>, Wrong> {
    let is_slash = |piece: &Piece| matches!(piece.kind, Kind::Slash);
    let mut components: Vec<Vec<Piece>> = pieces.split(is_slash).map(<[Piece]>::to_vec).collect();
    let text = |component: &Vec<Piece>| -> String {
        component.iter().map(|piece| piece.text.as_str()).collect()
    };
    while components.len() > 1 && components.last().is_some_and(Vec::is_empty) {
        components.pop();
    }
    let mut is_anchored = false;
    while components.len() > 1
        && components
            .first()
            .is_some_and(|first| matches!(text(first).as_str(), "" | "."))
    {
        components.remove(0);
        is_anchored = true;
    }
    while components.len() > 1 && components.first().is_some_and(|first| text(first) == "**") {
        components.remove(0);
        is_anchored = false;
    }
    if components
        .iter()
        .any(|one| matches!(text(one).as_str(), "" | "." | ".."))
    {
        return Err(Wrong(
            "it can match nothing: it names the source itself, `..` or an empty name",
        ));
    }
    let mut all = vec![Vec::new()];
    let last = components.len() - 1;
    for (index, component) in components.into_iter().enumerate() {
        let is_optional = index < last && text(&component) == "**";
        let without = if is_optional { all.clone() } else { Vec::new() };
        for begun in &mut all {
            begun.push(component.clone());
        }
        all.extend(without);
        if all.len() > MOST {
            return Err(TOO_MANY);
        }
    }
    Ok(all
        .into_iter()
        .map(|components| Alternative {
            is_anchored,
            components,
        })
        .collect())
}
