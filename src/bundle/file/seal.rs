//! What `openssl enc -aes-256-cbc -pbkdf2` writes and reads with its defaults, those of OpenSSL 1.1 and 3.
//!
//! It has no mark of its own that shows damage: that is for what is inside.

use aes::Aes256;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use sha2::Sha256;

use crate::base::secret::Secret;

const MAGIC: &[u8] = b"Salted__";
const SALT: usize = 8;
const BLOCK: usize = 16;

/// The default of `-pbkdf2`. The password is random and long: no number of rounds makes it better.
const ROUNDS: u32 = 10_000;

/// What `gzip` begins with.
const BEGINNING: [u8; 3] = [0x1f, 0x8b, 8];

/// Why there is nothing inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Not the form of such a file.
    NotSealed,
    /// What comes out is no archive: another password, or damage at the beginning.
    Password,
    /// The password fits, and the end does not.
    Damaged,
}

struct Key {
    key: [u8; 32],
    iv: [u8; BLOCK],
}

impl Key {
    fn of(password: &Secret, salt: &[u8]) -> Self {
        let both: [u8; 48] =
            pbkdf2::pbkdf2_hmac_array::<Sha256, 48>(password.expose().as_bytes(), salt, ROUNDS);
        let (mut key, mut iv) = ([0; 32], [0; BLOCK]);
        let (first, second) = both.split_at(key.len());
        key.copy_from_slice(first);
        iv.copy_from_slice(second);
        Self { key, iv }
    }
}

pub fn seal(archive: &[u8], password: &Secret) -> Vec<u8> {
    let salt: [u8; SALT] = rand::random();
    let Key { key, iv } = Key::of(password, &salt);
    let encryptor = cbc::Encryptor::<Aes256>::new(&key.into(), &iv.into());
    let sealed = encryptor.encrypt_padded_vec::<Pkcs7>(archive);
    [MAGIC, &salt, &sealed].concat()
}

pub fn open(sealed: &[u8], password: &Secret) -> Result<Vec<u8>, Closed> {
    let rest = sealed.strip_prefix(MAGIC).ok_or(Closed::NotSealed)?;
    let (salt, rest) = rest.split_at_checked(SALT).ok_or(Closed::NotSealed)?;
    let first = rest.get(..BLOCK).ok_or(Closed::NotSealed)?;
    let Key { key, iv } = Key::of(password, salt);
    let decryptor = || cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into());
    let beginning = decryptor().decrypt_padded_vec::<NoPadding>(first);
    if !beginning.is_ok_and(|beginning| beginning.starts_with(&BEGINNING)) {
        return Err(Closed::Password);
    }
    decryptor()
        .decrypt_padded_vec::<Pkcs7>(rest)
        .map_err(|_| Closed::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_with_the_same_password_alone() {
        let password = Secret::new("a long sentence");
        for length in [3, 15, 16, 17, 100_000] {
            let archive: Vec<u8> = BEGINNING.into_iter().cycle().take(length).collect();
            let sealed = seal(&archive, &password);
            assert_eq!(open(&sealed, &password).as_ref(), Ok(&archive), "{length}");
            assert_ne!(seal(&archive, &password), sealed, "the salt is random");
            let other = open(&sealed, &Secret::new("a long sentence "));
            assert_eq!(other, Err(Closed::Password));
        }
    }

    #[test]
    fn what_openssl_wrote_is_read() {
        // printf '\037\213\010 and more' | openssl enc -aes-256-cbc -pbkdf2 -S 0102030405060708 -pass pass:hunter2
        let written = [
            0xad, 0x14, 0x9e, 0x13, 0xeb, 0x83, 0x2a, 0x98, 0x6c, 0x2b, 0x26, 0x46, 0x25, 0x14,
            0x88, 0x44,
        ];
        let sealed = [MAGIC, &[1, 2, 3, 4, 5, 6, 7, 8], &written].concat();
        assert_eq!(
            open(&sealed, &Secret::new("hunter2")).unwrap(),
            b"\x1f\x8b\x08 and more"
        );
    }

    #[test]
    fn what_is_cut_or_is_something_else_is_told() {
        let password = Secret::new("hunter2");
        let archive: Vec<u8> = BEGINNING.into_iter().cycle().take(100).collect();
        let sealed = seal(&archive, &password);
        for length in 0..sealed.len() {
            let cut = sealed.get(..length).unwrap();
            assert!(open(cut, &password).is_err(), "{length}");
        }
        assert_eq!(open(b"PK\x03\x04", &password), Err(Closed::NotSealed));
    }
}
