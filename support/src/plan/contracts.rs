//! Evidence contracts: files and the fields they must have.

use super::items::Item;
use super::marks::{after_list_marker, code_spans};
use super::model::{EvidenceContract, EvidenceFile, TaskFields};
use super::source::Source;

/// Whether a code span names a file: its last part has a lower-case extension.
fn is_file(span: &str) -> bool {
    let name = file_name(span);
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let letters = extension.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    !stem.is_empty()
        && !stem.chars().all(|next| next == '.')
        && (2..=5).contains(&extension.len())
        && letters
        && !span.contains(char::is_whitespace)
}

/// The part behind the last slash.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The first file that a text names in backticks.
pub(crate) fn first_file(text: &str) -> Option<&str> {
    code_spans(text).into_iter().find(|span| is_file(span))
}

/// The evidence file that an item asks for.
pub(crate) fn file(item: &Item<'_>, source: &Source) -> Option<EvidenceFile> {
    let path = first_file(&item.text)?;
    Some(EvidenceFile {
        name: file_name(path).to_owned(),
        path: path.contains('/').then(|| path.to_owned()),
        place: source.place(item.line),
    })
}

/// The field that an item of a field list names: a code span at its start, lower case with
/// underscores; what follows `=` or blank is its value or a remark.
pub(crate) fn field(text: &str) -> Option<&str> {
    let text = after_list_marker(text).unwrap_or(text);
    let span = text.strip_prefix('`')?.split_once('`')?.0;
    let name = span.split(['=', ' ']).next()?;
    let first = name.starts_with(|next: char| next.is_ascii_lowercase());
    let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (first && rest).then_some(name)
}

/// The fields of a list whose entries name fields, in order, and the entries that do not.
pub(crate) fn fields(items: &[Item<'_>]) -> (Vec<String>, Vec<String>) {
    let mut fields = Vec::new();
    let mut others = Vec::new();
    for item in items {
        match field(&item.text) {
            Some(name) => fields.push(name.to_owned()),
            None => others.push(item.text.clone().into_owned()),
        }
    }
    (fields, others)
}

/// The field list inside a task, if the task has one.
pub(crate) fn task_fields(item: &Item<'_>, lane: Option<&str>, source: &Source) -> Option<TaskFields> {
    if !item.is_label() || item.children.is_empty() {
        return None;
    }
    let (fields, others) = fields(&item.children);
    (!fields.is_empty()).then(|| TaskFields {
        lane: lane.map(str::to_owned),
        task: item.text.clone().into_owned(),
        file: first_file(&item.text).map(|path| file_name(path).to_owned()),
        fields,
        others,
        place: source.place(item.line),
    })
}

/// Gives lists headed just `Snapshot minimum fields` the one snapshot that their contract asks for.
pub(crate) fn name_snapshots(contracts: &mut [EvidenceContract]) {
    for contract in contracts {
        let mut snapshots: Vec<&str> =
            contract.files.iter().map(|file| file.name.as_str()).filter(|name| name.contains("snapshot")).collect();
        snapshots.sort_unstable();
        snapshots.dedup();
        if let [only] = snapshots.as_slice() {
            let only = (*only).to_owned();
            for list in contract.minimum_fields.iter_mut().filter(|list| list.file.is_none()) {
                list.file = Some(only.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("`m3a_x.json`", Some("m3a_x.json"))]
    #[case("local: `runs/a/<t>/x.canonical.json`", Some("runs/a/<t>/x.canonical.json"))]
    #[case("`runs/dev/m3/<t>/...`", None)]
    #[case("`evidence/runs/<id>/`", None)]
    #[case("next gate (`M2.B` ready)", None)]
    #[case("x.json", None)]
    fn files(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(first_file(text), expected);
    }

    #[rstest]
    #[case("`platform_run_id`", Some("platform_run_id"))]
    #[case("`phase_id=P1`.", Some("phase_id"))]
    #[case("`wildcard_key_present` (must be `false`)", Some("wildcard_key_present"))]
    #[case("`REQUIRED_KEY`", None)]
    #[case("readiness URI", None)]
    fn field_names(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(field(text), expected);
    }
}
