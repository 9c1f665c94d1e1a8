//! What must hold whatever a document says: shared by the tests, which run it over known documents, and by the fuzz targets of
//! `support/fuzz`, which look for one that breaks it. Each function takes raw bytes and panics where an invariant is broken.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken invariant is a panic")]

pub mod command;
pub mod handoff;
pub mod plan;
pub mod registry;

/// Bytes as a document: what is not UTF-8 never gets as far as a parser.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
