//! Handle closure matrices: what a plan claims of each handle.

use super::error::PlanErrorKind;
use super::marks::{code_spans, verify_id};
use super::model::MatrixRow;
use super::source::Place;

/// The columns of a matrix that mean something, by place in its header.
pub(crate) struct Columns {
    count: usize,
    source_class: usize,
    source: usize,
    verification: usize,
    secret_class: Option<usize>,
    status: usize,
    blocker: usize,
}

/// Reads a header; none when the table is no handle closure matrix.
pub(crate) fn columns(header: &str) -> Option<Columns> {
    let first = split(header).first().copied()?;
    if !first.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("handle")) {
        return None;
    }
    let names: Vec<String> = split(header).iter().map(|name| name.to_ascii_lowercase()).collect();
    let at = |word: &str| names.iter().position(|name| name.contains(word));
    Some(Columns {
        count: names.len(),
        source_class: at("source class").or_else(|| at("family"))?,
        source: at("resolution source").or_else(|| at("source of value"))?,
        verification: at("verification")?,
        secret_class: at("secret class"),
        status: at("status")?,
        blocker: at("blocker")?,
    })
}

/// The cells of a row: cut at every pipe that no backslash escapes, as GFM does; the outer pipes
/// bound no cell.
pub(crate) fn split(raw: &str) -> Vec<&str> {
    let raw = raw.trim();
    let raw = raw.strip_prefix('|').unwrap_or(raw);
    let mut cells = Vec::with_capacity(8);
    let mut start = 0;
    let mut escaped = false;
    for (at, byte) in raw.bytes().enumerate() {
        if byte == b'|' && !escaped {
            cells.push(raw.get(start..at).unwrap_or("").trim());
            start = at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    let last = raw.get(start..).unwrap_or("").trim();
    if !last.is_empty() {
        cells.push(last);
    }
    cells
}

/// Reads one row of a matrix.
pub(crate) fn row(raw: &str, columns: &Columns, lane: Option<&str>, place: Place) -> Result<MatrixRow, PlanErrorKind> {
    let cells = split(raw);
    if cells.len() != columns.count {
        return Err(PlanErrorKind::MatrixCells { found: cells.len(), expected: columns.count });
    }
    let cell = |at: usize| cells.get(at).copied().unwrap_or("");
    let bare = |at: usize| unquoted(cell(at));
    let blocker = bare(columns.blocker);
    Ok(MatrixRow {
        lane: lane.map(str::to_owned),
        handle: unquoted(cell(0)),
        source_class: bare(columns.source_class),
        source: cell(columns.source).to_owned(),
        verification: code_spans(cell(columns.verification))
            .into_iter()
            .filter(|span| verify_id(span).is_some_and(|(_, rest)| rest.is_empty()))
            .map(str::to_owned)
            .collect(),
        secret_class: columns.secret_class.map(bare),
        status: bare(columns.status),
        blocker: (!blocker.eq_ignore_ascii_case("none") && !blocker.is_empty()).then_some(blocker),
        place,
    })
}

/// A cell without the backticks around it, where it is one code span.
pub(crate) fn unquoted(cell: &str) -> String {
    let inside = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    inside.filter(|inside| !inside.contains('`')).unwrap_or(cell).to_owned()
}
