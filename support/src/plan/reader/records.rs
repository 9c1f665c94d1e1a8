//! How records are read.

use super::{Reader, Setting};
use crate::plan::context;
use crate::plan::items::Item;
use crate::plan::records::{self, Record};

impl<'s> Reader<'s> {
    /// A labelled list that means nothing to any other rule. Two lists below one label are one record.
    pub(super) fn record(&mut self, items: &[Item<'s>], setting: Setting<'_>) {
        if setting.label.is_empty() || self.is_taken(setting) {
            return;
        }
        let entries = records::entries(items, &self.plan.source);
        if entries.is_empty() {
            return;
        }
        if let Some(above) = self.plan.records.last_mut()
            && above.place.line == setting.label_line
        {
            above.entries.extend(entries);
            return;
        }
        self.plan.records.push(Record {
            lane: self.lane(),
            label: setting.label.trim_end_matches(':').trim_end().to_owned(),
            entries,
            place: self.plan.source.place(setting.label_line),
        });
    }

    /// Whether the list has a meaning already. One that only the lane's title gives it leaves it a record:
    /// `M1.C Provenance and Evidence Contract` holds more than lists of evidence files.
    fn is_taken(&self, setting: Setting<'_>) -> bool {
        let by_title = self.headings.last().is_some_and(|open| open.from_title && open.context == setting.context);
        setting.context.is_some() && !(by_title && context::of_label(setting.label).is_none())
    }
}
