//! Tables for people.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};

use super::unnamed;
use crate::base::text::printable;

/// A borderless table; the columns in `right_aligned` hold numbers. Cells are made printable.
pub fn table<const N: usize>(
    header: [&str; N],
    right_aligned: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header);
    for row in rows {
        let told = |cell: &String| unnamed::cell(cell).unwrap_or_else(|| unnamed::told(cell));
        table.add_row(row.iter().map(|cell| Cell::new(printable(&told(cell)))));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right_aligned.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}
