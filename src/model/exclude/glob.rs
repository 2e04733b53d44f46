//! fnmatch(3) in the C locale, byte by byte, as GNU tar calls it for `--exclude`.

/// One step of a glob.
#[derive(Clone, Debug)]
pub enum Token {
    Byte(u8),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[…]`: for each byte whether it is in.
    Set(Box<[bool; 256]>),
}

#[derive(Debug)]
pub struct Glob(Vec<Token>);

impl Glob {
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    /// Whether it matches all of `name`. The last `*` is the only one that ever needs to take more: time is at most
    /// the product of both lengths.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(token), name.get(at)) {
                (Some(Token::Star), _) => {
                    last_star = Some((token, at));
                    token += 1;
                }
                (Some(one), Some(byte)) if one.takes(*byte) => {
                    token += 1;
                    at += 1;
                }
                (None, None) => return true,
                _ => {
                    let Some((star, from)) = last_star.filter(|(_, from)| *from < name.len())
                    else {
                        return false;
                    };
                    last_star = Some((star, from + 1));
                    (token, at) = (star + 1, from + 1);
                }
            }
        }
    }
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::Any | Self::Star => true,
            Self::Set(set) => set.get(usize::from(byte)).copied().unwrap_or(false),
        }
    }
}
