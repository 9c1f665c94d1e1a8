//! Verify-ID rows: the commands that a plan documents.

use super::error::PlanErrorKind;
use super::marks::{self, skip_emphasis};
use super::source::Place;

/// One row of a command catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRow {
    /// `M3A-V1-HANDLE-EXISTS`, as written.
    pub id: String,
    /// The lane under whose heading the row stands, else the one that the id names, else the phase.
    pub lane: String,
    /// The whole command cell. Its outer backticks are gone only where the whole cell is one code
    /// span; backticks inside a quoted argument do not end the span.
    pub template: String,
    /// Whether the cell is words, or words around commands, and not one code span.
    pub is_prose: bool,
    /// The code span that a cell of prose begins with: a command with words behind it, or a word
    /// of the sentence in backticks. Only the reader of commands can tell.
    pub leading_code: Option<String>,
    /// The purpose cell.
    pub purpose: String,
    /// Where it stands.
    pub place: Place,
}

/// The three cells of a row, raw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cells<'s> {
    pub id: &'s str,
    pub command: &'s str,
    pub purpose: &'s str,
}

/// A row's line without its outer pipes.
fn inner(raw: &str) -> &str {
    let raw = raw.trim();
    let raw = raw.strip_prefix('|').unwrap_or(raw);
    match raw.strip_suffix('|') {
        Some(rest) if !rest.ends_with('\\') => rest,
        _ => raw,
    }
}

/// Cuts a raw row at its first and its last ` | ` only: every pipe between belongs to the command,
/// whatever GFM makes of it.
pub(crate) fn cells(raw: &str) -> Result<Cells<'_>, PlanErrorKind> {
    let inner = inner(raw);
    let Some((id, rest)) = inner.split_once(" | ") else {
        return Err(PlanErrorKind::MissingCell { cell: "command" });
    };
    let Some((command, purpose)) = rest.rsplit_once(" | ") else {
        return Err(PlanErrorKind::MissingCell { cell: "purpose" });
    };
    let cells = Cells { id: id.trim(), command: command.trim(), purpose: purpose.trim() };
    match () {
        () if cells.command.is_empty() => Err(PlanErrorKind::MissingCell { cell: "command" }),
        () if cells.purpose.is_empty() => Err(PlanErrorKind::MissingCell { cell: "purpose" }),
        () => Ok(cells),
    }
}

/// The Verify-ID that fills a cell, in or out of backticks.
pub(crate) fn id_of(cell: &str) -> Option<&str> {
    let (id, rest) = marks::verify_id(skip_emphasis(cell.trim()))?;
    skip_emphasis(rest).trim().is_empty().then_some(id)
}

/// The raw text of a row's first cell.
pub(crate) fn first_cell(raw: &str) -> &str {
    let inner = inner(raw);
    inner.split_once('|').map_or(inner, |(first, _)| first).trim()
}

/// Whether a header is the one of a command catalog.
pub(crate) fn is_catalog(header: &str) -> bool {
    let mut cells = inner(header).split('|').map(|cell| cell.trim().to_ascii_lowercase());
    let (id, command, purpose, more) = (cells.next(), cells.next(), cells.next(), cells.next());
    let begins = |cell: Option<String>, word: &str| cell.is_some_and(|cell| cell.starts_with(word));
    begins(id, "verify id") && begins(command, "command") && begins(purpose, "purpose") && more.is_none()
}

/// Whether a header calls its first column Verify-IDs, whatever follows.
pub(crate) fn claims_catalog(header: &str) -> bool {
    let first = first_cell(header).to_ascii_lowercase();
    first.starts_with("verify id") || first.starts_with("verify-id")
}

/// A command cell: the template, and whether it is prose.
pub(crate) fn template(cell: &str) -> (String, bool, Option<String>) {
    if let Some(code) = whole_span(cell) {
        return (code.to_owned(), false, None);
    }
    let leading =
        cell.starts_with('`').then(|| marks::code_spans(cell).first().map(|code| (*code).to_owned())).flatten();
    (cell.to_owned(), true, leading)
}

/// What stands between the backticks when the whole cell is one code span: no backtick inside, or
/// only such as stand inside a quoted argument.
fn whole_span(cell: &str) -> Option<&str> {
    let code = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!code.is_empty() && backticks_are_quoted(code)).then_some(code)
}

/// The quoting that a scan of a command is in.
#[derive(PartialEq, Eq)]
enum Quote {
    None,
    /// Inside `"…"`.
    Plain,
    /// Inside `\"…\"`: a JSON layer around the command.
    Escaped,
}

fn backticks_are_quoted(code: &str) -> bool {
    let mut quote = Quote::None;
    let mut slashes = 0_usize;
    for next in code.bytes() {
        match (next, &quote) {
            (b'\\', _) => {
                slashes += 1;
                continue;
            }
            (b'`', Quote::None) => return false,
            (b'"', Quote::None) => quote = if slashes.is_multiple_of(2) { Quote::Plain } else { Quote::Escaped },
            (b'"', Quote::Plain) if slashes.is_multiple_of(2) => quote = Quote::None,
            (b'"', Quote::Escaped) if slashes == 1 => quote = Quote::None,
            _ => {}
        }
        slashes = 0;
    }
    quote == Quote::None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("| `A` | `ls` | why |", "`A`", "`ls`", "why")]
    #[case::no_outer_pipes("A | ls | why", "A", "ls", "why")]
    #[case::pipes_in_the_command("| `A` | `rg \"B|C|D\" f` | why |", "`A`", "`rg \"B|C|D\" f`", "why")]
    #[case::spaced_pipes("| `A` | `cat f | jq .` | why |", "`A`", "`cat f | jq .`", "why")]
    #[case::escaped_last_pipe("| `A` | `x` | either \\|", "`A`", "`x`", "either \\|")]
    fn a_row_is_cut_at_its_first_and_last_pipe(
        #[case] raw: &str,
        #[case] id: &str,
        #[case] command: &str,
        #[case] purpose: &str,
    ) {
        assert_eq!(cells(raw), Ok(Cells { id, command, purpose }));
    }

    #[rstest]
    #[case("| `A` |", "command")]
    #[case("| `A` | `ls` |", "purpose")]
    #[case("| `A` |  | why |", "command")]
    #[case("| `A` | `ls` |  |", "purpose")]
    fn a_row_that_lacks_a_cell_is_an_error(#[case] raw: &str, #[case] cell: &'static str) {
        assert_eq!(cells(raw), Err(PlanErrorKind::MissingCell { cell }));
    }

    #[rstest]
    #[case::one_span("`ls <A>`", "ls <A>", false, None)]
    #[case::backticks_in_quotes(
        r#"`rg -n "^\\* `<H> = \\\"TO_PIN\\\"`" r.md`"#,
        r#"rg -n "^\\* `<H> = \\\"TO_PIN\\\"`" r.md"#,
        false,
        None
    )]
    #[case::json_layer(r#"`rg -n \"^`A|B`\" r.md`"#, r#"rg -n \"^`A|B`\" r.md"#, false, None)]
    #[case::two_spans("`ls` + `cat`", "`ls` + `cat`", true, Some("ls"))]
    #[case::words_behind(
        "`aws s3 cp a -` + local hash compare",
        "`aws s3 cp a -` + local hash compare",
        true,
        Some("aws s3 cp a -")
    )]
    #[case::words("compare `a` with `b`", "compare `a` with `b`", true, None)]
    #[case::lone_backtick("`", "`", true, None)]
    fn templates(#[case] cell: &str, #[case] expected: &str, #[case] prose: bool, #[case] leading: Option<&str>) {
        assert_eq!(template(cell), (expected.to_owned(), prose, leading.map(str::to_owned)));
    }

    #[rstest]
    #[case("| Verify ID | Command template | Purpose |", true)]
    #[case("Verify ID | Command | Purpose (why)", true)]
    #[case("| Verify ID | Purpose | Command |", false)]
    #[case("| Verify ID | Command | Purpose | Owner |", false)]
    #[case("| ID | Command | Purpose |", false)]
    fn headers(#[case] header: &str, #[case] expected: bool) {
        assert_eq!(is_catalog(header), expected);
    }
}
