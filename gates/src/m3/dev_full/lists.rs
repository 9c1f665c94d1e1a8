//! Lists of names as the documents write them in backticks, and how messages show them.

use support::secrets;

/// A value of a document as a message may show it: what looks like a secret is not repeated.
pub(super) fn shown(value: &str) -> &str {
    if secrets::scan_bytes(value.as_bytes()).is_empty() { value } else { "(withheld: it looks like a secret)" }
}

/// The code spans of a text, in order.
pub(super) fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The one code span with commas among these texts, cut at them: each entry once, none empty.
///
/// # Errors
/// In words: no such list, several, or one with a gap.
pub(super) fn one_list<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<String>, String> {
    let lists: Vec<&str> = texts.into_iter().flat_map(spans).filter(|span| span.contains(',')).collect();
    match lists.as_slice() {
        [one] => list(one),
        other => Err(format!("{} comma-separated lists stand there in backticks, and one is needed", other.len())),
    }
}

/// A comma-separated list: each entry a name, once.
///
/// # Errors
/// In words: an entry that is empty, no name, or there twice.
pub(super) fn list(text: &str) -> Result<Vec<String>, String> {
    let mut entries: Vec<String> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        if entry.is_empty() || !entry.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("the list `{}` has the entry `{}`, which is no name", shown(text), shown(entry)));
        }
        if entries.iter().any(|known| known == entry) {
            return Err(format!("the list `{}` names `{}` twice", shown(text), shown(entry)));
        }
        entries.push(entry.to_owned());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a,b", Ok(vec!["a", "b"]))]
    #[case(" a , b_1 ", Ok(vec!["a", "b_1"]))]
    #[case("a,,b", Err("the entry ``"))]
    #[case("a,", Err("the entry ``"))]
    #[case("", Err("the entry ``"))]
    #[case("a,b,a", Err("names `a` twice"))]
    #[case("a,b c", Err("the entry `b c`"))]
    fn a_list_has_each_name_once_and_no_gap(#[case] text: &str, #[case] is: Result<Vec<&str>, &str>) {
        match (list(text), is) {
            (Ok(entries), Ok(expected)) => assert_eq!(entries, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case(&["the fields `a,b` travel with `c`"], Ok(vec!["a", "b"]))]
    #[case(&["no list `a`", "none here"], Err("0 comma-separated lists"))]
    #[case(&["`a,b`", "`a,b`"], Err("2 comma-separated lists"))]
    fn one_list_is_found_among_texts(#[case] texts: &[&str], #[case] is: Result<Vec<&str>, &str>) {
        match (one_list(texts.iter().copied()), is) {
            (Ok(entries), Ok(expected)) => assert_eq!(entries, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}
