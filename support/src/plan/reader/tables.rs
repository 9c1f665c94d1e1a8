//! How tables are read: command catalogs, handle closure matrices, entrypoint matrices.

use comrak::Node;

use super::Reader;
use crate::plan::entrypoints;
use crate::plan::error::PlanErrorKind;
use crate::plan::marks::{self, collapse};
use crate::plan::matrices;
use crate::plan::rows::{self, VerifyRow};

impl Reader<'_> {
    pub(super) fn table<'a>(&mut self, node: Node<'a>) {
        let mut rows = node.children().map(|row| row.data().sourcepos.start.line);
        let Some(header_line) = rows.next() else {
            return;
        };
        let header = self.lines.get(header_line);
        if rows::is_catalog(header) {
            rows.for_each(|line| self.catalog_row(line));
        } else if let Some(columns) = matrices::columns(header) {
            let lane = self.lane();
            for line in rows {
                self.read.entrypoints.insert(line);
                let place = self.plan.source.place(line);
                match matrices::row(self.lines.get(line), &columns, lane.as_deref(), place) {
                    Ok(row) => self.plan.matrices.push(row),
                    Err(kind) => self.error(line, kind),
                }
            }
        } else if let Some(columns) = entrypoints::columns(header) {
            match columns {
                Ok(columns) => rows.for_each(|line| self.entrypoint_row(line, &columns)),
                Err(kind) => self.error(header_line, kind),
            }
        } else {
            let claims = rows::claims_catalog(header);
            rows.for_each(|line| self.stray_row(line, header, claims));
        }
    }

    fn catalog_row(&mut self, line: usize) {
        self.read.rows.insert(line);
        let raw = self.lines.get(line);
        let cell = rows::first_cell(raw);
        let Some(id) = rows::id_of(cell) else {
            let cell = cell.to_owned();
            return self.error(line, PlanErrorKind::UnreadableId { cell });
        };
        match rows::cells(raw) {
            Err(kind) => self.error(line, kind),
            Ok(cells) => {
                let (template, is_prose, leading_code) = rows::template(cells.command);
                let lane = self.lane().or_else(|| marks::lane_of(id));
                self.plan.rows.push(VerifyRow {
                    id: id.to_owned(),
                    lane: lane.unwrap_or_else(|| self.plan.phase.clone()),
                    template,
                    is_prose,
                    leading_code,
                    purpose: cells.purpose.to_owned(),
                    place: self.plan.source.place(line),
                });
            }
        }
    }

    fn entrypoint_row(&mut self, line: usize, columns: &entrypoints::Columns) {
        self.read.entrypoints.insert(line);
        let (lane, place) = (self.lane(), self.plan.source.place(line));
        match entrypoints::row(self.lines.get(line), columns, lane.as_deref(), place) {
            Ok(row) => self.plan.entrypoints.push(row),
            Err(fault) => self.error(line, PlanErrorKind::UnreadableEntrypoint { fault }),
        }
    }

    /// A row of another table: an error when it holds a Verify-ID, or the header promises some.
    fn stray_row(&mut self, line: usize, header: &str, promised: bool) {
        if promised || rows::id_of(rows::first_cell(self.lines.get(line))).is_some() {
            self.read.rows.insert(line);
            let header = collapse(header);
            self.error(line, PlanErrorKind::UnusualHeader { header });
        }
    }
}
