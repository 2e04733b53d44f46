//! Which sources are read when not all of them are to be.
//!
//! Kopia gives a source's stream from its beginning only, and half a tar proves little: a source is read whole or not at all.

/// Marks those of `sizes` that are read, at random, until they hold at least `percent` of all bytes. The larger one is, the
/// sooner it is taken, so that the bytes of a small source are not read more often than those of a large one.
pub fn share(sizes: &[u64], percent: u8) -> Vec<bool> {
    if percent >= 100 {
        return vec![true; sizes.len()];
    }
    // An empty source has a chance too.
    let weight = |size: u64| u128::from(size.max(1));
    let all: u128 = sizes.iter().map(|size| weight(*size)).sum();
    let mut is_read = vec![false; sizes.len()];
    let mut left = all;
    while (all - left) * 100 < all * u128::from(percent) {
        let mut drawn = rand::random_range(0..left);
        for (size, is_read) in sizes.iter().zip(&mut is_read) {
            let weight = weight(*size);
            if *is_read {
                continue;
            }
            if drawn < weight {
                *is_read = true;
                left -= weight;
                break;
            }
            drawn -= weight;
        }
    }
    is_read
}

/// Whole per cents of `all` that `part` is, rounded down: what is not all of it is never called 100.
pub fn percent_of(part: u64, all: u64) -> u8 {
    if part >= all {
        return 100;
    }
    let percent = u128::from(part) * 100 / u128::from(all);
    u8::try_from(percent).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_the_share_is_read_and_not_much_more() {
        let sizes = [0, 10, 10, 20, 60, 100];
        let bytes = |is_read: &[bool]| -> u64 {
            let read = sizes.iter().zip(is_read).filter(|(_, is_read)| **is_read);
            read.map(|(size, _)| size).sum()
        };
        assert_eq!(share(&sizes, 100), [true; 6]);
        assert!(share(&[], 10).is_empty());
        for percent in 1..100 {
            for _ in 0..20 {
                let read = bytes(&share(&sizes, percent));
                // One more than needed at most.
                assert!(read + 1 >= 2 * u64::from(percent), "{percent}: {read}");
                assert!(read <= 2 * u64::from(percent) + 101, "{percent}: {read}");
            }
        }
    }

    #[test]
    fn every_source_has_its_turn() {
        let mut seen = [false; 4];
        for _ in 0..1000 {
            for (seen, is_read) in seen.iter_mut().zip(share(&[10, 10, 20, 40], 10)) {
                *seen |= is_read;
            }
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn only_all_of_it_is_100_per_cent() {
        assert_eq!(percent_of(0, 0), 100);
        assert_eq!(percent_of(u64::MAX - 1, u64::MAX), 99);
        assert_eq!(percent_of(1, 3), 33);
        assert_eq!(percent_of(5, 5), 100);
    }
}
