//! The last pass: every line that looks like a box, a row of a known table or a code definition was read,
//! or is an error. Nothing falls through a gap between two rules.

use std::collections::HashSet;

use super::entrypoints;
use super::error::PlanErrorKind;
use super::marks::{after_list_marker, brackets, skip_emphasis, verify_id};
use super::source::Lines;

/// What the structured passes have read, by line.
#[derive(Default)]
pub(crate) struct Read {
    /// Lines of boxes.
    pub boxes: HashSet<usize>,
    /// Lines of Verify-ID rows, errors among them.
    pub rows: HashSet<usize>,
    /// Lines of entrypoint and handle closure matrices, errors among them.
    pub entrypoints: HashSet<usize>,
    /// Lines of definitions, claims and register entries.
    pub codes: HashSet<usize>,
}

/// What an unread line looks like.
#[derive(Debug, PartialEq, Eq)]
enum Look<'s> {
    Box,
    Row(&'s str),
    Entrypoint,
    Code(&'s str),
}

/// Finds the unread lines. `is_id` and `is_code` tell which ids and codes the plan has: a line that
/// only mentions one of them defines nothing and loses nothing.
pub(crate) fn unread(
    lines: &Lines<'_>,
    read: &Read,
    is_id: impl Fn(&str) -> bool,
    is_code: impl Fn(&str) -> bool,
) -> Vec<(usize, PlanErrorKind)> {
    let mut errors = Vec::new();
    for (number, line) in lines.numbered() {
        let kind = match look(line) {
            Some(Look::Box) if !read.boxes.contains(&number) => PlanErrorKind::UnreadBox,
            Some(Look::Row(id)) if !read.rows.contains(&number) && (is_table(line) || !is_id(id)) => {
                PlanErrorKind::UnreadRow
            }
            Some(Look::Entrypoint) if !read.entrypoints.contains(&number) => PlanErrorKind::UnreadEntrypoint,
            Some(Look::Code(code)) if !read.codes.contains(&number) && !is_code(code) => {
                PlanErrorKind::UnreadCode { code: code.to_owned() }
            }
            _ => continue,
        };
        errors.push((number, kind));
    }
    errors
}

fn is_table(line: &str) -> bool {
    line.trim_start_matches([' ', '\t', '>']).starts_with('|')
}

/// What a line looks like, taken by itself. Most lines of a plan look like nothing, and are left
/// after two or three comparisons.
fn look(line: &str) -> Option<Look<'_>> {
    let indent = line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'>')).count();
    let mut rest = line.get(indent..).unwrap_or("").trim_start_matches('\u{a0}');
    let mut marked = false;
    while let Some(behind) = after_list_marker(rest) {
        rest = behind.trim_start_matches(['>', ' ']);
        marked = true;
    }
    match rest.bytes().next()? {
        b'[' => box_look(rest, marked),
        b'|' => row_look(rest),
        b'`' | b'*' | b'_' | b'M' | b'V' => word_look(rest, marked),
        _ => None,
    }
}

fn box_look(rest: &str, marked: bool) -> Option<Look<'static>> {
    let behind = brackets(rest)?;
    // Without a list marker, `[x](…)` is a link and `[x]: …` a reference.
    let is_link = !marked && behind.starts_with(['(', ':', '[']);
    (!is_link).then_some(Look::Box)
}

fn row_look(rest: &str) -> Option<Look<'_>> {
    let first = rest.trim_start_matches(['|', ' ', '\t']);
    let word = skip_emphasis(first);
    if let Some((id, behind)) = verify_id(word)
        && skip_emphasis(behind).trim_start().starts_with('|')
    {
        return Some(Look::Row(id));
    }
    if let Some((code, behind)) = super::codes::leading(first)
        && behind.starts_with('|')
    {
        return Some(Look::Code(code));
    }
    let is_box = rest.as_bytes().contains(&b'[')
        && rest.split('|').any(|cell| {
            let cell = cell.trim_start();
            brackets(after_list_marker(cell).unwrap_or(cell)).is_some_and(|behind| behind.starts_with(' '))
        });
    if is_box {
        return Some(Look::Box);
    }
    entrypoints::looks_like(rest).then_some(Look::Entrypoint)
}

fn word_look(rest: &str, marked: bool) -> Option<Look<'_>> {
    if let Some((code, behind)) = super::codes::leading(rest) {
        return behind.starts_with([':', '|']).then_some(Look::Code(code));
    }
    let (id, behind) = verify_id(skip_emphasis(rest))?;
    let behind = skip_emphasis(behind).trim_start();
    (behind.starts_with('|') || (marked && behind.starts_with(':'))).then_some(Look::Row(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("- [ ] a", Some(Look::Box))]
    #[case("   * [x] a", Some(Look::Box))]
    #[case("+ [X] a", Some(Look::Box))]
    #[case("1. [ ] a", Some(Look::Box))]
    #[case("1) [ ] a", Some(Look::Box))]
    #[case("> - [ ] a", Some(Look::Box))]
    #[case("- - [ ] a", Some(Look::Box))]
    #[case("- [] a", Some(Look::Box))]
    #[case("-[x] a", Some(Look::Box))]
    #[case("- [x]a", Some(Look::Box))]
    #[case("- [ x ] a", Some(Look::Box))]
    #[case("- [-] a", Some(Look::Box))]
    #[case("[ ] a", Some(Look::Box))]
    #[case("| [ ] a | b |", Some(Look::Box))]
    #[case("[x](https://example.org)", None)]
    #[case("- [link](https://example.org)", None)]
    #[case("- a [ ] b", None)]
    #[case("| `M3A-V1-X` | ls | why |", Some(Look::Row("M3A-V1-X")))]
    #[case("M3A_V1_X | ls | why", Some(Look::Row("M3A_V1_X")))]
    #[case("> | `V1_X` | ls | why |", Some(Look::Row("V1_X")))]
    #[case("| `VPC_ID` | x |", None)]
    #[case("| a | `M3A-V1-X` |", None)]
    #[case("| `ENTRYPOINT_SR` | x | `python -m a.b run` | none |", Some(Look::Entrypoint))]
    #[case("> | ENTRYPOINT_SR | python -m a |", Some(Look::Entrypoint))]
    #[case("| `ENTRYPOINT_SR` | run by `python -m a` | x |", None)]
    #[case("| oracle | `python -m a` |", None)]
    #[case("1. `M3A-B1`: a", Some(Look::Code("M3A-B1")))]
    #[case("- M3-B0.1 : a", Some(Look::Code("M3-B0.1")))]
    #[case("**M3-B1**: a", Some(Look::Code("M3-B1")))]
    #[case("| `M3-B1` | a |", Some(Look::Code("M3-B1")))]
    #[case("- `M3A-B1` is closed", None)]
    #[case("- `M3A-B1..B4`: closed", None)]
    #[case("", None)]
    fn looks(#[case] line: &str, #[case] expected: Option<Look<'_>>) {
        assert_eq!(look(line), expected);
    }
}
