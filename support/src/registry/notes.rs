//! What a registry says of a handle in the list below it.

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options, parse_document};

use super::markdown::{is_quoted, leading_code, source_of};
use super::names::is_handle_name;

/// One list item below the item of a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The handle that the item above begins with.
    pub handle: String,
    /// The line of this item, from 1.
    pub line: usize,
    /// The code spans in this item itself, in their order.
    pub spans: Vec<String>,
}

/// The items below the handles of a registry, in their order: an item that itself begins with a handle speaks of what stands above it all
/// the same. Quotations, code blocks and comments say nothing.
#[must_use]
pub fn notes_of(text: &str) -> Vec<Note> {
    let arena = Arena::new();
    let root = parse_document(&arena, &source_of(text), &Options::default());
    let items = root.descendants().filter(|node| matches!(node.data().value, NodeValue::Item(_)) && !is_quoted(node));
    items.filter_map(note).collect()
}

fn note<'arena>(item: &'arena AstNode<'arena>) -> Option<Note> {
    // The outermost handle: what is said of a part of it is said of it.
    let above = item.ancestors().skip(1).filter(|node| matches!(node.data().value, NodeValue::Item(_)));
    let handle = above.filter_map(handle_of).last()?;
    let paragraphs = item.children().filter(|child| matches!(child.data().value, NodeValue::Paragraph));
    let spans =
        paragraphs.flat_map(|paragraph| paragraph.descendants()).filter_map(|inline| match &inline.data().value {
            NodeValue::Code(code) => Some(code.literal.clone()),
            _ => None,
        });
    Some(Note { handle, line: item.data().sourcepos.start.line, spans: spans.collect() })
}

fn handle_of<'arena>(item: &'arena AstNode<'arena>) -> Option<String> {
    let (_, span) = leading_code(item)?;
    let name = span?.split('=').next()?.trim().to_owned();
    is_handle_name(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "\
### Roles

* `ROLE_ONE` *(of the gate)*

  * for `SVC_ONE` and `SVC_TWO`
    * `SVC_THREE`, with `S3_BUCKET`

- `ROLE_TWO = \"two\"`
  1. each `SVC_OTHER_*`,
     and `SVC_LAST`
  2. nothing

* for `SVC_NOBODY`

> * `ROLE_QUOTED`
>   * for `SVC_ONE`

```
* `ROLE_FENCED`
  * for `SVC_ONE`
```

<!--
* `ROLE_COMMENTED`
  * for `SVC_ONE`
-->
";

    #[test]
    fn what_stands_below_a_handle_is_said_of_it() {
        let notes = notes_of(REGISTRY);
        let said: Vec<(&str, usize, Vec<&str>)> = notes
            .iter()
            .map(|note| (note.handle.as_str(), note.line, note.spans.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            said,
            [
                ("ROLE_ONE", 5, vec!["SVC_ONE", "SVC_TWO"]),
                ("ROLE_ONE", 6, vec!["SVC_THREE", "S3_BUCKET"]),
                ("ROLE_TWO", 9, vec!["SVC_OTHER_*", "SVC_LAST"]),
                ("ROLE_TWO", 11, vec![]),
            ]
        );
    }

    #[test]
    fn lines_are_counted_as_editors_do() {
        let notes = notes_of("\u{feff}* `ROLE_ONE`\r\n\r\n  * for `SVC_ONE`\r\n");
        assert_eq!(notes, [Note { handle: "ROLE_ONE".to_owned(), line: 3, spans: vec!["SVC_ONE".to_owned()] }]);
    }
}
