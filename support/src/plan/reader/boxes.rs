//! How boxes are read.

use super::{Reader, Setting};
use crate::plan::boxes::{BoxKind, PlanBox};
use crate::plan::context::Context;
use crate::plan::error::PlanErrorKind;
use crate::plan::items::Item;
use crate::plan::marks::{self, collapse};

impl<'s> Reader<'s> {
    pub(super) fn a_box(&mut self, item: &Item<'s>, ticked: bool, setting: Setting<'_>) {
        self.read.boxes.insert(item.line);
        if item.text.trim().is_empty() {
            self.error(item.line, PlanErrorKind::EmptyBox);
        } else {
            let lane = self.lane();
            let kind = self.box_kind(item, setting, lane.is_some());
            let of_this_list = |other: &&PlanBox| other.kind == kind && other.lane == lane;
            let before = self.plan.boxes.iter().rev().find(of_this_list).map_or(0, |other| other.number);
            self.plan.boxes.push(PlanBox {
                kind,
                number: before + 1,
                lane,
                text: item.text.clone().into_owned(),
                details: self.box_details(item),
                ticked,
                place: self.plan.source.place(item.line),
            });
        }
        self.boxes_below(item, setting);
    }

    /// Boxes nested in another box are boxes of the same list; its other entries are its details.
    fn boxes_below(&mut self, item: &Item<'s>, setting: Setting<'_>) {
        for child in &item.children {
            match child.tick {
                Some(ticked) => self.a_box(child, ticked, setting),
                None => self.boxes_below(child, setting),
            }
        }
    }

    fn box_kind(&mut self, item: &Item<'s>, setting: Setting<'_>, in_lane: bool) -> BoxKind {
        match setting.context {
            Some(Context::Dod) => BoxKind::Dod,
            Some(Context::Checklist) => BoxKind::Checklist,
            Some(Context::Progress) => BoxKind::Progress,
            _ => {
                let kind = if in_lane && !self.plan.is_master() { BoxKind::Dod } else { BoxKind::Checklist };
                if self.doubted != Some(setting.label_line) {
                    self.doubted = Some(setting.label_line);
                    self.doubt(
                        item.line,
                        format!("boxes stand in a list of no known kind; they are read as `{}`", kind.word()),
                        "head the list with `DoD:`, `Completion Checklist` or `Sub-phase progress:`",
                    );
                }
                kind
            }
        }
    }

    /// The raw lines below a box's first paragraph, those of nested boxes left out.
    fn box_details(&self, item: &Item<'s>) -> String {
        if item.end <= item.line {
            return String::new();
        }
        let mut skip = Vec::new();
        nested_boxes(&item.children, &mut skip);
        let own = collapse(&item.text);
        let mut whole = String::new();
        for line in item.line + 1..=item.end {
            if !skip.iter().any(|(from, to)| (*from..=*to).contains(&line)) {
                whole.push_str(self.lines.get(line));
                whole.push('\n');
            }
        }
        let whole = collapse(&whole);
        // The paragraph's own further lines are part of the text already.
        let first_line = collapse(marks::after_list_marker(self.lines.get(item.line).trim_start()).unwrap_or(""));
        let first_line = marks::brackets(&first_line).unwrap_or("").trim();
        let continued = own.strip_prefix(first_line).map_or("", str::trim);
        whole.strip_prefix(continued).unwrap_or(&whole).trim().to_owned()
    }
}

fn nested_boxes(items: &[Item<'_>], lines: &mut Vec<(usize, usize)>) {
    for item in items {
        if item.tick.is_some() {
            lines.push((item.line, item.end));
        } else {
            nested_boxes(&item.children, lines);
        }
    }
}
