//! A QR code for paper, in half blocks: a character is one module wide and two high, and ink is dark.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// In columns, with its margin: more is no page for a printer.
const WIDEST: usize = 72;

/// Its lines, with the margin that a reader needs around it; `None` when `text` is too long for a page. About 15 % of it may be unreadable.
pub fn lines(text: &str) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let drawn = code
        .render::<Dense1x2>()
        .quiet_zone(true)
        .module_dimensions(1, 1)
        .build();
    let lines: Vec<String> = drawn.lines().map(str::to_owned).collect();
    let is_narrow = lines.iter().all(|line| line.chars().count() <= WIDEST);
    is_narrow.then_some(lines)
}

/// What a reader makes of a drawing, as a camera would have it.
#[cfg(test)]
pub fn read(lines: &[&str]) -> String {
    const SCALE: usize = 4;
    let rows: Vec<(Vec<bool>, Vec<bool>)> = lines
        .iter()
        .map(|line| {
            let halves = line.chars().map(|c| match c {
                '█' => (true, true),
                '▀' => (true, false),
                '▄' => (false, true),
                ' ' => (false, false),
                other => panic!("{other:?} is not in a drawing"),
            });
            halves.unzip()
        })
        .collect();
    let modules: Vec<Vec<bool>> = rows.into_iter().flat_map(|(a, b)| [a, b]).collect();
    let width = modules.iter().map(Vec::len).max().unwrap();
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(
        width * SCALE,
        modules.len() * SCALE,
        |x, y| match modules[y / SCALE].get(x / SCALE) {
            Some(true) => 0,
            _ => 255,
        },
    );
    let grids = image.detect_grids();
    let [grid] = grids.as_slice() else {
        panic!("{} codes are there", grids.len())
    };
    grid.decode().unwrap().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_finds_the_text_again() {
        for length in [1, 20, 48, 64, 200] {
            let text: String = ('!'..='~').cycle().take(length).collect();
            let lines = lines(&text).unwrap();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(read(&lines), text);
        }
        assert_eq!(lines(&"x".repeat(2000)), None);
        assert_eq!(lines(&"x".repeat(9000)), None);
    }
}
