//! Plans: nothing is lost, names are unique or an error, and the same text reads the same twice.

use std::collections::HashSet;
use std::sync::LazyLock;

use phasegate_support::plan::{CaseName, Parsed, PlanBox, RecordEntry, Source, case_names, hash_of, lint, parse};
use regex::Regex;

static BOX: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]*\[[ xX]?\](?:[ \t]|$)").unwrap());
static ROW: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[ \t>]*\|[ \t]*`?((?:M\d+[A-Z]*[-_])?V\d+(?:[-_][A-Z0-9]+)+)`?[ \t]*\|").unwrap());
static CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+`?(M\d+[A-Z]*-B\d+(?:\.\d+)?)`?[ \t]*:").unwrap());
static ENTRYPOINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[ \t>]*\|[ \t]*`?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+`?[ \t]*\|(?:.*\|)?[ \t]*`?python -m").unwrap()
});

/// A phase's plan and a master plan, one of each track.
const KINDS: [(&str, &str); 2] = [("platform.M3.build_plan.md", "dev_min"), ("platform.build_plan.md", "dev_full")];

/// Reads the bytes as plans of both kinds and tracks.
pub fn holds(bytes: &[u8]) {
    let Some(text) = super::text(bytes) else { return };
    for (path, track) in KINDS {
        let read = |text: &str| parse(Source::new(path, text), track);
        let parsed = read(text);
        assert_eq!(read(text), parsed, "the same text reads differently the second time");
        assert_eq!(lost(&parsed), Vec::<String>::new(), "lines that came out in no way");
        errors_name_their_lines(&parsed);
        names_are_unique(&parsed, track);
        every_error_is_linted(&parsed);
        records_stand_in_the_document(&parsed);
        entrypoints_stand_in_the_document(&parsed);
        if !text.contains('\r') {
            line_endings_change_nothing(&parsed, &read(&text.replace('\n', "\r\n")));
        }
    }
}

/// What the parser lost: lines that an expression finds and that came out in no way.
pub fn lost(parsed: &Parsed) -> Vec<String> {
    let plan = &parsed.plan;
    let errors: HashSet<usize> = parsed.errors.iter().map(|error| error.place.line).collect();
    let boxes: HashSet<usize> = plan.boxes.iter().map(|asked| asked.place.line).collect();
    let rows: HashSet<(usize, &str)> = plan.rows.iter().map(|row| (row.place.line, row.id.as_str())).collect();
    let codes: HashSet<&str> = plan.codes.iter().map(|code| code.code.as_str()).collect();
    let claims: HashSet<usize> = plan.claims.iter().map(|claim| claim.place.line).collect();
    let entrypoints = plan.entrypoints.iter().map(|row| row.place.line);
    let of_tables = plan.matrices.iter().map(|row| row.place.line).chain(plan.rows.iter().map(|row| row.place.line));
    let entrypoints: HashSet<usize> = entrypoints.chain(of_tables).collect();
    let mut lost = Vec::new();
    for (index, line) in lines(&plan.source.text).into_iter().enumerate() {
        let number = index + 1;
        let row = ROW.captures(line).map(|found| found.get(1).unwrap().as_str());
        let code = CODE.captures(line).map(|found| found.get(1).unwrap().as_str());
        let came_out = errors.contains(&number)
            || !(BOX.is_match(line) && !boxes.contains(&number)
                || ENTRYPOINT.is_match(line) && !entrypoints.contains(&number)
                || row.is_some_and(|id| !rows.contains(&(number, id)))
                || code.is_some_and(|code| !codes.contains(code) && !claims.contains(&number)));
        if !came_out {
            lost.push(format!("{number}: {line}"));
        }
    }
    lost
}

/// Lines as Markdown counts them.
pub fn lines(text: &str) -> Vec<&str> {
    static END: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\r\n|\n|\r").unwrap());
    END.split(text).collect()
}

/// An error's place is a line of the document, in order, and the line is quoted as it stands there.
pub fn errors_name_their_lines(parsed: &Parsed) {
    let lines = lines(&parsed.plan.source.text);
    for error in &parsed.errors {
        assert_eq!(lines.get(error.place.line - 1).copied().unwrap_or(""), error.line, "{error}");
        assert!(!error.kind.help().is_empty(), "an error without a next step: {error}");
    }
    assert!(parsed.errors.is_sorted_by_key(|error| error.place.line));
}

/// Either all cases have names of their own, or each pair that has not is named with both its lines.
pub fn names_are_unique(parsed: &Parsed, track: &str) {
    let plan = &parsed.plan;
    match case_names(plan) {
        Ok(cases) => {
            let unique: HashSet<&str> = cases.iter().map(|case: &CaseName| case.name.as_str()).collect();
            assert_eq!(unique.len(), plan.boxes.len() + plan.rows.len(), "a box or row has no name of its own");
            for name in unique {
                assert!(name.starts_with(&format!("{track}::")), "{name}");
                assert!(!name.contains(char::is_whitespace), "{name}");
            }
        }
        Err(pairs) => {
            assert!(!pairs.is_empty());
            for pair in pairs {
                assert!(pair.first.line <= pair.second.line, "{pair}");
            }
        }
    }
    for asked in &plan.boxes {
        assert!(!asked.text.trim().is_empty(), "a box without a text came out: {asked:?}");
        if asked.details.is_empty() {
            assert_eq!(asked.hash(), hash_of(&asked.text));
        }
    }
}

/// A record's label and entries stand where they say, in order, and nothing is a box and an entry.
pub fn records_stand_in_the_document(parsed: &Parsed) {
    let plan = &parsed.plan;
    let lines = lines(&plan.source.text);
    let boxes: HashSet<usize> = plan.boxes.iter().map(|asked| asked.place.line).collect();
    for record in &plan.records {
        let label = lines[record.place.line - 1];
        assert!(label.trim().ends_with(':') && label.contains(&record.label), "{record:?}");
        assert!(record.lane.is_none() || plan.lanes.iter().any(|lane| Some(&lane.id) == record.lane.as_ref()));
        let entries: Vec<&RecordEntry> =
            record.entries.iter().flat_map(|entry| std::iter::once(entry).chain(entry.all_below())).collect();
        assert!(!entries.is_empty(), "{record:?}");
        for (at, entry) in entries.iter().enumerate() {
            let line = entry.place.line;
            // Two markers on one line open two entries.
            let before = at.checked_sub(1).map_or(record.place.line, |before| entries[before].place.line);
            assert!(before <= line && record.place.line < line, "{record:?}");
            assert!(!boxes.contains(&line) || entry.text.is_empty(), "{entry:?}");
            let end = entries.get(at + 1).map_or(lines.len(), |next| next.place.line);
            let here = lines[line - 1..end.max(line)].concat();
            assert!(entry.text.split_whitespace().all(|word| here.contains(word)), "{entry:?}");
        }
    }
}

/// All that an entrypoint row says stands in its line.
pub fn entrypoints_stand_in_the_document(parsed: &Parsed) {
    let lines = lines(&parsed.plan.source.text);
    let mut seen = HashSet::new();
    for row in &parsed.plan.entrypoints {
        assert!(seen.insert(row.place.line), "two rows in one line: {row:?}");
        let line = lines[row.place.line - 1];
        assert!([&row.handle, &row.mode, &row.note].iter().all(|cell| line.contains(cell.as_str())), "{row:?}");
        let words = row.invocation.iter().chain(&row.arguments).chain(&row.optional);
        assert!(words.clone().all(|word| !word.is_empty() && line.contains(word.as_str())), "{row:?}");
        assert_eq!(row.invocation[..3], ["python", "-m", &row.module], "{row:?}");
        for one in &row.required {
            let at = row.arguments.iter().position(|word| *word == one.name).unwrap();
            assert_eq!(row.arguments[at + 1], one.value, "{row:?}");
            assert!(!row.optional.contains(&one.name), "{row:?}");
        }
        let subcommands = row.arguments.iter().filter(|word| !word.starts_with(['-', '<'])).count();
        assert_eq!(row.arguments.len(), 2 * row.required.len() + subcommands, "{row:?}");
    }
}

fn every_error_is_linted(parsed: &Parsed) {
    let linted = lint(parsed);
    for error in &parsed.errors {
        assert!(linted.iter().any(|one| one.place == error.place), "lint passes over {error}");
    }
}

/// What a plan asks does not hang on how its lines end.
fn line_endings_change_nothing(unix: &Parsed, windows: &Parsed) {
    let boxes = |parsed: &Parsed| -> Vec<_> {
        let of = |asked: &PlanBox| (asked.place.line, asked.kind, asked.lane.clone(), asked.ticked, asked.hash());
        parsed.plan.boxes.iter().map(of).collect()
    };
    let rows = |parsed: &Parsed| -> Vec<_> {
        parsed.plan.rows.iter().map(|row| (row.place.line, row.lane.clone(), row.id.clone())).collect()
    };
    let errors = |parsed: &Parsed| -> Vec<_> {
        parsed.errors.iter().map(|error| (error.place.line, error.kind.clone())).collect()
    };
    let records = |parsed: &Parsed| -> Vec<_> {
        let of = |record: &phasegate_support::plan::Record| {
            (record.place.line, record.label.clone(), record.entries.clone())
        };
        parsed.plan.records.iter().map(of).collect()
    };
    assert_eq!(records(unix), records(windows), "records hang on the line endings");
    assert_eq!(unix.plan.entrypoints, windows.plan.entrypoints, "entrypoints hang on the line endings");
    assert_eq!(boxes(unix), boxes(windows), "boxes hang on the line endings");
    assert_eq!(rows(unix), rows(windows), "rows hang on the line endings");
    assert_eq!(errors(unix), errors(windows), "errors hang on the line endings");
}
