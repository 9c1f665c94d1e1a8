//! Entrypoint matrices: how each runtime mode of an image is started.

use super::error::{EntrypointFault, PlanErrorKind};
use super::marks::{code_spans, skip_emphasis};
use super::matrices::{split, unquoted};
use super::source::Place;

/// One row of an entrypoint matrix. A handle that stands for several modes has a row for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrypointRow {
    /// The lane.
    pub lane: Option<String>,
    /// `ENTRYPOINT_SR`.
    pub handle: String,
    /// `Scenario runner control task`.
    pub mode: String,
    /// The words of the invocation: `python`, `-m`, a module, and its subcommand where it has one.
    pub invocation: Vec<String>,
    /// The module behind `-m`.
    pub module: String,
    /// The words that the row requires behind the invocation, placeholders as they are, in order.
    pub arguments: Vec<String>,
    /// The options among [`Self::arguments`].
    pub required: Vec<RequiredOption>,
    /// Options that the cell names behind the required ones, each once: `--once`.
    pub optional: Vec<String>,
    /// What the cell says behind the required arguments, as written. An option in it need not be optional:
    /// it may be said to be pinned elsewhere.
    pub note: String,
    /// Where it stands.
    pub place: Place,
}

/// An option with its value's placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredOption {
    /// `--profile`.
    pub name: String,
    /// `<path>`.
    pub value: String,
}

/// The columns of an entrypoint matrix that mean something, by place in its header.
pub(crate) struct Columns {
    count: usize,
    mode: usize,
    invocation: usize,
    arguments: usize,
}

/// Reads a header; none when the table is no entrypoint matrix. One that speaks of handles and their invocations, and
/// lacks a column, is an error: its rows would be lost.
pub(crate) fn columns(header: &str) -> Option<Result<Columns, PlanErrorKind>> {
    let names: Vec<String> = split(header).iter().map(|name| name.to_ascii_lowercase()).collect();
    if !names.first()?.starts_with("handle") {
        return None;
    }
    let at = |word: &str| names.iter().position(|name| name.contains(word));
    let invocation = at("invocation")?;
    let (mode, arguments) = (at("mode"), at("required arg"));
    Some(match (mode, arguments) {
        (Some(mode), Some(arguments)) => Ok(Columns { count: names.len(), mode, invocation, arguments }),
        (None, _) => Err(PlanErrorKind::EntrypointColumn { column: "runtime mode" }),
        (_, None) => Err(PlanErrorKind::EntrypointColumn { column: "required args" }),
    })
}

/// Whether a table line looks like a row of an entrypoint matrix, wherever it stands.
pub(crate) fn looks_like(line: &str) -> bool {
    let mut cells = line.trim_start_matches('|').split('|').map(str::trim);
    let first = cells.next().unwrap_or("");
    is_handle(skip_emphasis(first).trim_end_matches(['`', '*', '_']))
        && cells.any(|cell| skip_emphasis(cell).trim_start().starts_with("python -m"))
}

/// `ENTRYPOINT_SR`: capitals and digits, in two words or more.
fn is_handle(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    text.starts_with(|next: char| next.is_ascii_uppercase()) && text.contains('_') && text.split('_').all(word)
}

/// Reads one row.
pub(crate) fn row(
    raw: &str,
    columns: &Columns,
    lane: Option<&str>,
    place: Place,
) -> Result<EntrypointRow, EntrypointFault> {
    let cells = split(raw);
    if cells.len() != columns.count {
        return Err(EntrypointFault::Cells { found: cells.len(), expected: columns.count });
    }
    let cell = |at: usize| cells.get(at).copied().unwrap_or("");
    let handle = unquoted(cell(0));
    if !is_handle(&handle) {
        return Err(EntrypointFault::Handle { cell: cell(0).to_owned() });
    }
    let mode = unquoted(cell(columns.mode));
    if mode.is_empty() {
        return Err(EntrypointFault::Mode);
    }
    let (invocation, module) = invocation(cell(columns.invocation))?;
    let (code, note) = arguments_of(cell(columns.arguments))?;
    let arguments = words(code);
    let required = required(&arguments)?;
    let optional = optional(note, &required)?;
    Ok(EntrypointRow {
        lane: lane.map(str::to_owned),
        handle,
        mode,
        invocation,
        module,
        arguments,
        required,
        optional,
        note: note.to_owned(),
        place,
    })
}

/// `python -m package.module`, and the words of a subcommand.
fn invocation(cell: &str) -> Result<(Vec<String>, String), EntrypointFault> {
    let fault = || EntrypointFault::Module { cell: cell.to_owned() };
    let code = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let words = words(code.filter(|code| !code.contains('`')).ok_or_else(fault)?);
    let (module, rest) = match words.as_slice() {
        [python, flag, module, rest @ ..] if python == "python" && flag == "-m" && is_module(module) => (module, rest),
        _ => return Err(fault()),
    };
    if let Some(word) = rest.iter().find(|word| !is_subcommand(word)) {
        return Err(EntrypointFault::Word { word: word.clone() });
    }
    let module = module.clone();
    Ok((words, module))
}

/// The code span that a cell of arguments begins with, and what stands behind it. `none` asks for none.
fn arguments_of(cell: &str) -> Result<(&str, &str), EntrypointFault> {
    let fault = || EntrypointFault::Arguments { cell: cell.to_owned() };
    if let Some((none, behind)) = cell.split_at_checked(4)
        && none.eq_ignore_ascii_case("none")
        && !behind.starts_with(|next: char| next.is_alphanumeric())
    {
        return Ok(("", behind.trim()));
    }
    let (code, behind) = cell.strip_prefix('`').and_then(|rest| rest.split_once('`')).ok_or_else(fault)?;
    let code = code.trim();
    if code.is_empty() {
        return Err(fault());
    }
    if code.eq_ignore_ascii_case("none") {
        return Ok(("", behind.trim()));
    }
    Ok((code, behind.trim()))
}

/// The options among the words, each with its value; a word beside them must be a subcommand.
fn required(words: &[String]) -> Result<Vec<RequiredOption>, EntrypointFault> {
    let mut options: Vec<RequiredOption> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if is_option(word) {
            let value = words.next().filter(|value| is_placeholder(value));
            let value = value.ok_or_else(|| EntrypointFault::Value { option: word.clone() })?;
            if options.iter().any(|option| option.name == *word) {
                return Err(EntrypointFault::Twice { option: word.clone() });
            }
            options.push(RequiredOption { name: word.clone(), value: value.clone() });
        } else if !is_subcommand(word) {
            return Err(EntrypointFault::Word { word: word.clone() });
        }
    }
    Ok(options)
}

/// The options of the code spans behind the required arguments. A span that begins with no option, such as a handle's
/// name, is left to the note.
fn optional(note: &str, required: &[RequiredOption]) -> Result<Vec<String>, EntrypointFault> {
    let mut options: Vec<String> = Vec::new();
    for span in code_spans(note).into_iter().filter(|span| span.starts_with('-')) {
        for word in words(span) {
            if is_option(&word) {
                let known = options.contains(&word) || required.iter().any(|option| option.name == word);
                if !known {
                    options.push(word);
                }
            } else if !is_placeholder(&word) {
                return Err(EntrypointFault::Word { word });
            }
        }
    }
    Ok(options)
}

/// The words of a code span; white space inside `<…>` cuts none.
fn words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut inside = false;
    for next in code.chars() {
        match next {
            '<' => inside = true,
            '>' => inside = false,
            _ => {}
        }
        if !next.is_whitespace() || inside {
            word.push(next);
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `--max-events`.
fn is_option(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(is_subcommand)
}

/// `<path>`.
fn is_placeholder(word: &str) -> bool {
    let inside = word.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inside.is_some_and(|inside| !inside.trim().is_empty() && !inside.contains(['<', '>']))
}

/// `run`, `rollback-drill`: a word in lower case.
fn is_subcommand(word: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    word.starts_with(|next: char| next.is_ascii_lowercase()) && word.bytes().all(inner)
}

/// `fraud_detection.scenario_runner.cli`.
fn is_module(word: &str) -> bool {
    let name = |part: &str| {
        part.starts_with(|next: char| next.is_ascii_alphabetic() || next == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    word.split('.').all(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use rstest::rstest;

    const HEADER: &str =
        "| Handle key | Runtime mode(s) | Deterministic invocation contract | Required args contract |";

    fn read(raw: &str) -> Result<EntrypointRow, EntrypointFault> {
        let columns = columns(HEADER).unwrap().unwrap();
        row(raw, &columns, Some("M1.B"), Place { path: Arc::from(Path::new("p.md")), line: 1 })
    }

    fn read_arguments(cell: &str) -> Result<EntrypointRow, EntrypointFault> {
        read(&format!("| `ENTRYPOINT_X` | x | `python -m a.b` | {cell} |"))
    }

    #[rstest]
    #[case("| Handle key | Runtime mode | Invocation | Required args | Status |", true)]
    #[case("Handle | Required arguments | Mode | Invocation contract", true)]
    #[case("| Handle key | Source class | Resolution source | Verification | Status | Blocker |", false)]
    #[case("| Mode | Handle | Invocation | Required args |", false)]
    fn headers(#[case] header: &str, #[case] expected: bool) {
        assert_eq!(columns(header).is_some_and(|columns| columns.is_ok()), expected);
    }

    #[rstest]
    #[case("| Handle | Runtime mode | Invocation |", "required args")]
    #[case("| Handle | Invocation | Required args |", "runtime mode")]
    fn a_matrix_that_lacks_a_column_is_an_error(#[case] header: &str, #[case] expected: &'static str) {
        let error = columns(header).unwrap().err().unwrap();
        assert_eq!(error, PlanErrorKind::EntrypointColumn { column: expected });
    }

    #[rstest]
    #[case::options("`--profile <path> --seed <int>`", &["--profile <path>", "--seed <int>"], &[], "")]
    #[case::placeholder_with_blanks("`--id <scenario id>`", &["--id <scenario id>"], &[], "")]
    #[case::slashes("`--root <s3://...>`", &["--root <s3://...>"], &[], "")]
    #[case::behind("`--p <x>` (`--once`/`--host <addr>` optional)", &["--p <x>"], &["--once", "--host"], "(`--once`/`--host <addr>` optional)")]
    #[case::handles_are_no_options("`--p <x>` (`IG_PORT` pins `--port`)", &["--p <x>"], &["--port"], "(`IG_PORT` pins `--port`)")]
    #[case::named_again("`--p <x>` (`--p` last; `--once`, `--once`)", &["--p <x>"], &["--once"], "(`--p` last; `--once`, `--once`)")]
    #[case::subcommand_behind("`--p <x> run`; `promote --event <json>` too", &["--p <x>"], &[], "; `promote --event <json>` too")]
    #[case::none("none (`--once` optional)", &[], &["--once"], "(`--once` optional)")]
    #[case::none_in_code("`none`", &[], &[], "")]
    fn arguments(#[case] cell: &str, #[case] required: &[&str], #[case] optional: &[&str], #[case] note: &str) {
        let row = read_arguments(cell).unwrap();
        let options: Vec<String> = row.required.iter().map(|one| format!("{} {}", one.name, one.value)).collect();
        assert_eq!(
            (options, row.optional, row.note.as_str()),
            (
                required.iter().map(|&one| one.to_owned()).collect(),
                optional.iter().map(|&one| one.to_owned()).collect(),
                note,
            )
        );
    }

    #[rstest]
    #[case::flag("`--strict`", EntrypointFault::Value { option: "--strict".into() })]
    #[case::flag_before_an_option("`--strict --p <x>`", EntrypointFault::Value { option: "--strict".into() })]
    #[case::literal_value("`--p config.yaml`", EntrypointFault::Value { option: "--p".into() })]
    #[case::empty_placeholder("`--p <>`", EntrypointFault::Value { option: "--p".into() })]
    #[case::open_placeholder("`--p <x --q <y>`", EntrypointFault::Value { option: "--p".into() })]
    #[case::glued("`--p=<x>`", EntrypointFault::Word { word: "--p=<x>".into() })]
    #[case::positional("`<path>`", EntrypointFault::Word { word: "<path>".into() })]
    #[case::shell("`--p <x> && rm`", EntrypointFault::Word { word: "&&".into() })]
    #[case::twice("`--p <x> --p <y>`", EntrypointFault::Twice { option: "--p".into() })]
    #[case::words_first("needs `--p <x>`", EntrypointFault::Arguments { cell: "needs `--p <x>`".into() })]
    #[case::no_code("--p <x>", EntrypointFault::Arguments { cell: "--p <x>".into() })]
    #[case::open_span("`--p <x>", EntrypointFault::Arguments { cell: "`--p <x>".into() })]
    #[case::empty("", EntrypointFault::Arguments { cell: String::new() })]
    #[case::nonesuch("nonesuch", EntrypointFault::Arguments { cell: "nonesuch".into() })]
    #[case::odd_option("`--p <x>` (`-o` optional)", EntrypointFault::Word { word: "-o".into() })]
    #[case::optional_with_a_literal("`--p <x>` (`--o 5` optional)", EntrypointFault::Word { word: "5".into() })]
    fn arguments_that_do_not_fit(#[case] cell: &str, #[case] expected: EntrypointFault) {
        assert_eq!(read_arguments(cell), Err(expected));
    }

    #[rstest]
    #[case::no_python("| `A_B` | x | `node a.js` | none |", EntrypointFault::Module { cell: "`node a.js`".into() })]
    #[case::no_flag("| `A_B` | x | `python a.py` | none |", EntrypointFault::Module { cell: "`python a.py`".into() })]
    #[case::no_module("| `A_B` | x | `python -m` | none |", EntrypointFault::Module { cell: "`python -m`".into() })]
    #[case::bad_module("| `A_B` | x | `python -m a..b` | none |", EntrypointFault::Module { cell: "`python -m a..b`".into() })]
    #[case::placeholder("| `A_B` | x | `python -m <module>` | none |", EntrypointFault::Module { cell: "`python -m <module>`".into() })]
    #[case::two_spans("| `A_B` | x | `python -m a` or `python -m b` | none |", EntrypointFault::Module { cell: "`python -m a` or `python -m b`".into() })]
    #[case::no_code("| `A_B` | x | python -m a | none |", EntrypointFault::Module { cell: "python -m a".into() })]
    #[case::word("| `A_B` | x | `python -m a --run` | none |", EntrypointFault::Word { word: "--run".into() })]
    #[case::handle("| `oracle` | x | `python -m a` | none |", EntrypointFault::Handle { cell: "`oracle`".into() })]
    #[case::two_handles("| `A_B`, `A_C` | x | `python -m a` | none |", EntrypointFault::Handle { cell: "`A_B`, `A_C`".into() })]
    #[case::mode("| `A_B` |  | `python -m a` | none |", EntrypointFault::Mode)]
    #[case::short("| `A_B` | x | `python -m a` |", EntrypointFault::Cells { found: 3, expected: 4 })]
    #[case::pipe("| `A_B` | x | `python -m a` | `--p <a|b>` |", EntrypointFault::Cells { found: 5, expected: 4 })]
    fn rows_that_do_not_fit(#[case] raw: &str, #[case] expected: EntrypointFault) {
        let fault = read(raw).unwrap_err();
        assert!(!PlanErrorKind::UnreadableEntrypoint { fault: fault.clone() }.help().is_empty());
        assert_eq!(fault, expected);
    }
}
