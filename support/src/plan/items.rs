//! Lists of a document as plain items, cut loose from the Markdown parser's tree.

use std::borrow::Cow;

use comrak::Node;
use comrak::nodes::NodeValue;

use super::marks::{after_list_marker, brackets};
use super::source::Lines;

/// How deep lists may be nested before the parser stops: far beyond any plan, and far from the
/// end of the stack.
pub(crate) const DEPTH_LIMIT: usize = 32;

/// One list item.
pub(crate) struct Item<'s> {
    /// Its first line.
    pub line: usize,
    /// Its last line, nested lists and all.
    pub end: usize,
    /// Its first paragraph as written, marker and brackets taken away, lines joined by a blank.
    pub text: Cow<'s, str>,
    /// Whether it is a box, and ticked.
    pub tick: Option<bool>,
    /// The items of all lists directly below it, in order.
    pub children: Vec<Item<'s>>,
}

impl Item<'_> {
    /// Whether the item announces the list below it.
    pub(crate) fn is_label(&self) -> bool {
        self.text.ends_with(':')
    }

    /// The texts below this item, in order, nesting dropped.
    pub(crate) fn details(&self) -> Vec<String> {
        let mut details = Vec::new();
        collect_texts(&self.children, &mut details);
        details
    }
}

fn collect_texts(items: &[Item<'_>], texts: &mut Vec<String>) {
    for item in items {
        texts.push(item.text.clone().into_owned());
        collect_texts(&item.children, texts);
    }
}

/// What a list holds besides items.
pub(crate) struct Found<'a, 's> {
    /// The items.
    pub items: Vec<Item<'s>>,
    /// Tables inside items.
    pub tables: Vec<Node<'a>>,
    /// Lines at which nesting went beyond [`DEPTH_LIMIT`].
    pub too_deep: Vec<usize>,
    /// Labels that Markdown reads as a further line of an item's paragraph, since no empty line
    /// stands before them; by line. They are not part of the item's text.
    pub labels: Vec<(usize, &'s str)>,
}

impl<'a, 's> Found<'a, 's> {
    /// Hangs another list below the last item.
    pub(crate) fn append(&mut self, more: Found<'a, 's>) {
        self.tables.extend(more.tables);
        self.too_deep.extend(more.too_deep);
        self.labels.extend(more.labels);
        match self.items.last_mut() {
            Some(last) => {
                last.end = more.items.last().map_or(last.end, |item| item.end);
                last.children.extend(more.items);
            }
            None => self.items = more.items,
        }
    }
}

/// Reads one list.
pub(crate) fn read<'a, 's>(list: Node<'a>, lines: &Lines<'s>) -> Found<'a, 's> {
    let mut found = Found { items: Vec::new(), tables: Vec::new(), too_deep: Vec::new(), labels: Vec::new() };
    let mut items = Vec::new();
    read_list(list, lines, 0, &mut items, &mut found);
    for (line, _) in &found.labels {
        end_above(&mut items, *line);
    }
    found.items = items;
    found
}

/// A label closes every item that it was read into.
fn end_above(items: &mut [Item<'_>], label: usize) {
    for item in items.iter_mut().filter(|item| item.line < label && label <= item.end) {
        item.end = label - 1;
        end_above(&mut item.children, label);
    }
}

fn read_list<'a, 's>(
    list: Node<'a>,
    lines: &Lines<'s>,
    depth: usize,
    into: &mut Vec<Item<'s>>,
    found: &mut Found<'a, 's>,
) {
    if depth > DEPTH_LIMIT {
        found.too_deep.push(list.data().sourcepos.start.line);
        return;
    }
    for node in list.children() {
        let data = node.data();
        let tick = match data.value {
            NodeValue::TaskItem(ref task) => Some(task.symbol.is_some()),
            _ => None,
        };
        let position = data.sourcepos;
        let mut item = Item {
            line: position.start.line,
            end: position.end.line.max(position.start.line),
            text: Cow::Borrowed(""),
            tick,
            children: Vec::new(),
        };
        drop(data);
        let mut first = true;
        for child in node.children() {
            let data = child.data();
            match data.value {
                NodeValue::Paragraph if first => {
                    let start = data.sourcepos.start;
                    let mut end = data.sourcepos.end.line;
                    if end > start.line && is_label_line(lines.get(end)) {
                        found.labels.push((end, lines.get(end).trim()));
                        end -= 1;
                    }
                    item.text = paragraph(lines, start.line, start.column, end, tick.is_some());
                }
                NodeValue::List(_) => {
                    drop(data);
                    read_list(child, lines, depth + 1, &mut item.children, found);
                }
                NodeValue::Table(_) => found.tables.push(child),
                _ => {}
            }
            first = false;
        }
        into.push(item);
    }
}

/// Whether a line that continues an item's paragraph is meant as the label of what follows: it is
/// not indented, and ends with a colon.
fn is_label_line(line: &str) -> bool {
    !line.starts_with([' ', '\t']) && line.trim_end().ends_with(':')
}

/// The raw words of a paragraph: GFM's inline parser would lose backticks and pipes.
fn paragraph<'s>(lines: &Lines<'s>, start: usize, column: usize, end: usize, is_box: bool) -> Cow<'s, str> {
    let line = lines.get(start);
    // A box's paragraph begins behind its brackets or before them, depending on who counts; the
    // marks of the line itself settle it.
    let first = match line.get(column.saturating_sub(1)..) {
        Some(rest) if !is_box => rest,
        _ => strip_marks(line, is_box),
    };
    let first = first.trim();
    if end <= start {
        return Cow::Borrowed(first);
    }
    let mut text = first.to_owned();
    for number in start + 1..=end {
        text.push(' ');
        text.push_str(lines.get(number).trim());
    }
    Cow::Owned(text)
}

fn strip_marks(line: &str, is_box: bool) -> &str {
    let mut rest = line.trim_start();
    while let Some(behind) = after_list_marker(rest) {
        rest = behind;
        if let Some(text) = brackets(rest).filter(|_| is_box) {
            return text;
        }
    }
    rest
}
