//! What `phasegate lint` says of a plan.

use std::collections::{HashMap, HashSet};

use super::Parsed;
use super::boxes::BoxKind;
use super::error::{Diagnostic, Severity};
use super::marks::{self, code_spans};
use super::model::Plan;
use super::names::case_names;
use super::source::{Lines, Place};

/// Everything that is wrong with a plan (errors), and everything that is probably not meant as it
/// is written (doubts), in the order of the document. Reads nothing but the plan.
#[must_use]
pub fn lint(parsed: &Parsed) -> Vec<Diagnostic> {
    let lines = Lines::of(&parsed.plan.source.text);
    let mut report = Report { lines: &lines, found: parsed.errors.iter().map(Diagnostic::from).collect() };
    report.found.extend(parsed.doubts.iter().cloned());
    let plan = &parsed.plan;
    report.alike_names(plan);
    report.lanes(plan);
    report.marks_of_other_lanes(plan);
    report.repeated_boxes(plan);
    report.completion(plan);
    report.undefined_codes(plan);
    report.matrices(plan);
    report.open_fields(plan);
    report.requirements(plan);
    report.found.sort_by_key(|one| (one.place.line, one.severity));
    report.found
}

struct Report<'s> {
    lines: &'s Lines<'s>,
    found: Vec<Diagnostic>,
}

impl Report<'_> {
    fn say(&mut self, severity: Severity, place: &Place, message: String, help: &str) {
        self.found.push(Diagnostic {
            severity,
            place: place.clone(),
            line: self.lines.get(place.line).to_owned(),
            message,
            help: help.to_owned(),
        });
    }

    fn doubt(&mut self, place: &Place, message: String, help: &str) {
        self.say(Severity::Doubt, place, message, help);
    }

    fn alike_names(&mut self, plan: &Plan) {
        for alike in case_names(plan).err().into_iter().flatten() {
            let message = format!("line {} makes a case of the same name, `{}`", alike.first.line, alike.name);
            self.say(Severity::Error, &alike.second, message, "give one of the two another id");
        }
    }

    /// Lanes without a definition of done: they would be complete by nothing.
    fn lanes(&mut self, plan: &Plan) {
        for lane in plan.lanes.iter().filter(|_| !plan.is_master()) {
            let asked = plan.boxes.iter().any(|asked| asked.lane.as_ref() == Some(&lane.id));
            if !asked {
                let message = format!("lane `{}` has no boxes", lane.id);
                self.doubt(&lane.place, message, "add `DoD:` with a box for each thing that must be true");
            }
            if marks::phase(&lane.id).is_some_and(|(phase, _)| phase != plan.phase) {
                let message = format!("lane `{}` is of another phase than the plan's, `{}`", lane.id, plan.phase);
                self.doubt(&lane.place, message, "correct the heading, or move the lane to its phase's plan");
            }
        }
    }

    /// A mark such as `M3B-V1` or `M3B-B1` that stands under another lane, or names none.
    fn marks_of_other_lanes(&mut self, plan: &Plan) {
        for row in &plan.rows {
            if let Some(lane) = marks::lane_of(&row.id).filter(|lane| *lane != row.lane) {
                let message = format!("`{}` names lane `{lane}` and stands under `{}`", row.id, row.lane);
                self.doubt(&row.place, message, "correct the id, or move the row");
            }
        }
        let lanes: HashSet<&str> = plan.lanes.iter().map(|lane| lane.id.as_str()).collect();
        for code in &plan.codes {
            if let Some(lane) = code.lane.as_deref().filter(|lane| !lanes.contains(lane)) {
                let message = format!("`{}` names lane `{lane}`, which the plan does not have", code.code);
                self.doubt(&code.place, message, "correct the code, or add the lane");
            }
        }
    }

    fn repeated_boxes(&mut self, plan: &Plan) {
        let mut seen: HashMap<(Option<&str>, BoxKind, String), usize> = HashMap::new();
        for asked in &plan.boxes {
            let key = (asked.lane.as_deref(), asked.kind, asked.normalised());
            match seen.get(&key) {
                Some(first) => {
                    let message = format!("the same box stands at line {first}");
                    self.doubt(&asked.place, message, "delete one of the two, or say what the other asks");
                }
                None => {
                    seen.insert(key, asked.place.line);
                }
            }
        }
    }

    /// `M3.A complete` in the completion list against the boxes of M3.A.
    fn completion(&mut self, plan: &Plan) {
        for done in plan.boxes.iter().filter(|done| done.kind == BoxKind::Checklist) {
            let Some((lane, rest)) = marks::lane(marks::skip_emphasis(&done.text)) else {
                continue;
            };
            if !marks::skip_emphasis(rest).trim_start().starts_with("complete") {
                continue;
            }
            let mut asked = plan.boxes.iter().filter(|asked| asked.lane.as_deref() == Some(lane));
            if done.ticked
                && let Some(open) = asked.find(|asked| !asked.ticked)
            {
                let message =
                    format!("`{lane}` is ticked as complete, and its box at line {} is open", open.place.line);
                self.doubt(&done.place, message, "tick the box when it is met, or open this one again");
            }
        }
    }

    /// Codes that the plan speaks of in backticks and defines nowhere.
    fn undefined_codes(&mut self, plan: &Plan) {
        let mut told = HashSet::new();
        for (line, text) in self.lines.numbered() {
            for span in code_spans(text) {
                let Some((code, "")) = marks::code(span) else {
                    continue;
                };
                if plan.code(code).is_none() && told.insert(code) {
                    let message = format!("`{code}` is spoken of and defined nowhere in this plan");
                    let place = plan.source.place(line);
                    self.doubt(&place, message, "define it in a blocker taxonomy, or correct the code");
                }
            }
        }
    }

    fn matrices(&mut self, plan: &Plan) {
        let ids: HashSet<&str> = plan.rows.iter().map(|row| row.id.as_str()).collect();
        for row in &plan.matrices {
            for id in row.verification.iter().filter(|id| !ids.contains(id.as_str())) {
                let message = format!("`{id}` verifies `{}`, and no catalog has that row", row.handle);
                self.doubt(&row.place, message, "add the row to a command catalog, or correct the id");
            }
        }
    }

    fn open_fields(&mut self, plan: &Plan) {
        for list in plan.contracts.iter().flat_map(|contract| &contract.minimum_fields) {
            if list.file.is_none() {
                let message = "the minimum fields of which file is left open".to_owned();
                self.doubt(&list.place, message, "name the file in backticks before the colon");
            } else if list.fields.is_empty() {
                let message = "the list of minimum fields names no field".to_owned();
                self.doubt(&list.place, message, "write each field's name in backticks");
            }
        }
    }

    fn requirements(&mut self, plan: &Plan) {
        for requirement in &plan.requirements_without_cases {
            let message = "this requirement of a summary is no case: nothing will check it".to_owned();
            self.doubt(&requirement.place, message, "give it a box when its phase becomes active");
        }
    }
}
