//! The few forms of GitHub's expressions that the workflows use, filled from a table. What the table does not know fails the test.

use std::collections::BTreeMap;

/// Values of contexts by their names: `inputs.aws_region`, `steps.digest.outputs.digest`.
pub type Table = BTreeMap<String, String>;

/// A text with its `${{ … }}` filled.
pub fn fill(text: &str, table: &Table) -> String {
    let mut pieces = text.split("${{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (expression, rest) = piece.split_once("}}").unwrap_or_else(|| panic!("`{text}` does not end"));
        filled += &value(expression, table);
        filled += rest;
    }
    filled
}

/// The first of its alternatives that is not empty.
fn value(expression: &str, table: &Table) -> String {
    let parts: Vec<String> = expression.split("||").map(|part| operand(part.trim(), table)).collect();
    parts.iter().find(|part| !part.is_empty()).cloned().unwrap_or_default()
}

fn operand(part: &str, table: &Table) -> String {
    match part.strip_prefix('\'').and_then(|part| part.strip_suffix('\'')) {
        Some(literal) => literal.to_owned(),
        None => table.get(part).cloned().unwrap_or_else(|| panic!("nothing is known of `{part}`")),
    }
}

/// Whether a step with this `if:` runs after steps that all succeeded.
pub fn holds(condition: Option<&str>, table: &Table) -> bool {
    condition.is_none_or(|condition| {
        condition.split("&&").map(str::trim).all(|term| match term.split_once("==") {
            Some((left, right)) => operand(left.trim(), table) == operand(right.trim(), table),
            None => term == "always()" || operand(term, table) == "true",
        })
    })
}

#[test]
fn expressions_are_filled_as_github_fills_them() {
    let table = Table::from([("a.b".to_owned(), "x".to_owned()), ("c".to_owned(), String::new())]);
    assert_eq!(fill("<${{ a.b }}/${{ c || 'y' }}>${{ c }}", &table), "<x/y>");
    assert!(holds(None, &table) && holds(Some("always() && a.b == 'x'"), &table));
    assert!(!holds(Some("always() && a.b == 'y'"), &table) && !holds(Some("c"), &table));
}
