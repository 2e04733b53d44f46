//! The key that Kopia's packages are signed with. Its fingerprint is in here, so that a key from the network is believed only when
//! it is this one.

/// Of `Kopia Builder <builder@kopia.io>`, as Kopia's own documentation and release scripts name it.
pub const FINGERPRINT: &str = "7FB99DFD47809F0D5339D7D92273699AFD56A556";

pub const URL: &str = "https://kopia.io/signing-key";

/// Whether what `gpg --show-keys --with-colons` said names Kopia's key, and no other: every key of a file is trusted.
pub fn is_kopias_alone(colons: &str) -> bool {
    let mut keys = 0;
    let mut is_primary = false;
    let mut is_right = true;
    for line in colons.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.first() {
            Some(&"pub") => {
                keys += 1;
                is_primary = true;
            }
            Some(&"fpr") if is_primary => {
                is_right &= fields.get(9) == Some(&FINGERPRINT);
                is_primary = false;
            }
            _ => {}
        }
    }
    // A key whose fingerprint never came is not known.
    keys == 1 && is_right && !is_primary
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As GnuPG 2.2.40 prints them.
    fn key(fingerprint: &str) -> String {
        format!(
            "pub:-:3072:1:2273699AFD56A556:1589300000:::-:::scSC::::::23::0:\nfpr:::::::::{fingerprint}:\nuid:-::::1::A::Kopia Builder <builder@kopia.io>::::::::::0:\nsub:-:3072:1:ABCDEF:1589300000::::::e::::::23:\nfpr:::::::::0000000000000000000000000000000000000000:\n"
        )
    }

    #[test]
    fn only_a_file_with_kopias_key_and_no_other_is_believed() {
        let good = key(FINGERPRINT);
        let other = key("1111111111111111111111111111111111111111");
        assert!(is_kopias_alone(&good));
        assert!(!is_kopias_alone(&other));
        assert!(!is_kopias_alone(&format!("{good}{other}")));
        assert!(!is_kopias_alone(&format!("{good}{good}")));
        assert!(!is_kopias_alone("pub:-:3072:1:2273699AFD56A556:\n"));
        assert!(!is_kopias_alone(""));
    }
}
