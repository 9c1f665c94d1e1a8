//! A lane's files: what the plan's evidence contract asks for, and what became of each at the door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::evidence::PublishStep;
use support::run::check::{AnyCheck, Judged, Unmet};
use support::run::context::{File, LaneRun, To};
use support::run::lane::{Step, Stop};
use support::run::publication::Publication;
use support::run::rows::RowFile;

/// The observation that a lane's checks of its files read.
pub(super) const LANE_FILES: &str = "lane_files";

/// The codes by which a lane's files are judged.
pub(super) trait DoorCodes {
    /// Put or read back without success, where the plan has a code for it.
    const PUT: Option<&'static str>;
    /// A secret, where the plan has a code for it.
    const SECRET: Option<&'static str>;
    /// The contract's own code: what was stopped before it could be put is that one's.
    const CONTRACT: Option<&'static str> = None;
}

/// The files of one lane.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LaneFiles {
    /// The names in the plan's evidence contract, in its order, and those that PLANS.md 25 adds.
    pub planned: Vec<String>,
    /// What became of each that was published.
    pub left: BTreeMap<String, Publication>,
    /// What was not made, with the open code that says why.
    pub withheld: BTreeMap<String, String>,
}

impl LaneFiles {
    /// The files that the plan asks of this lane.
    pub(super) fn planned(run: &LaneRun<'_>, lane: &str) -> Self {
        let mut planned: Vec<String> = Vec::new();
        for contract in run.plan().contracts.iter().filter(|c| c.lane.as_deref() == Some(lane)) {
            for file in &contract.files {
                if !planned.contains(&file.name) {
                    planned.push(file.name.clone());
                }
            }
        }
        Self { planned, ..Self::default() }
    }

    /// One more than the plan's contract lists.
    pub(super) fn with(mut self, name: &str) -> Self {
        if !self.planned.iter().any(|planned| planned == name) {
            self.planned.push(name.to_owned());
        }
        self
    }

    /// Publishes a file under the lane's control evidence; what came of it is for the checks to judge.
    pub(super) fn leave(&mut self, run: &mut LaneRun<'_>, name: &str, body: Value) -> Step {
        let fields = minimum_fields(run, name);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let documented = Some(run.documented_file(name));
        let done = run.publish(File { name, body, minimum_fields: &fields, to: To::LaneControl, documented });
        self.take_down(run, name, done.err())
    }

    /// Publishes a text under the lane's control evidence.
    pub(super) fn leave_text(&mut self, run: &mut LaneRun<'_>, name: &str, text: &str) -> Step {
        let done = run.publish_text(name, text);
        self.take_down(run, name, done.err())
    }

    /// Does not make a file, because a check before it is not met.
    pub(super) fn withhold(&mut self, run: &mut LaneRun<'_>, name: &str, open: &[&'static dyn AnyCheck]) -> Step {
        match run.open_among(open).into_iter().next() {
            Some((code, _)) => self.withhold_for(run, name, &code),
            None => Err(Stop::Fault(format!("{name} is held back, and no code says why"))),
        }
    }

    /// Does not make a file, because a code stands against it.
    pub(super) fn withhold_for(&mut self, run: &mut LaneRun<'_>, name: &str, code: &str) -> Step {
        self.withheld.insert(name.to_owned(), code.to_owned());
        run.observe(LANE_FILES, "the plan's evidence contract, and the evidence door", self)
    }

    /// Publishes a file by the row of the plan that documents it.
    pub(super) fn leave_by_row(&mut self, run: &mut LaneRun<'_>, row: &str, name: &str, body: Value) -> Step {
        let fields = minimum_fields(run, name);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        // After the first file of a lane that exists already, nothing more of the lane is put.
        let group = run.own_execution_id();
        let file = RowFile { name, body, minimum_fields: &fields, group: &group };
        let done = run.publish_by_row(row, file, &[]);
        self.take_down(run, name, done.err())
    }

    /// Takes down what the door said. A stop that is none of the door's (a row that cannot be read) ends the lane.
    fn take_down(&mut self, run: &mut LaneRun<'_>, name: &str, stop: Option<Stop>) -> Step {
        match run.fact::<Publication>(&format!("publish:{name}")) {
            Ok(publication) => {
                self.left.insert(name.to_owned(), publication);
                run.observe(LANE_FILES, "the plan's evidence contract, and the evidence door", self)
            }
            Err(none) => Err(stop.unwrap_or(none)),
        }
    }
}

/// The fields that the plan asks of a file.
pub(super) fn minimum_fields(run: &LaneRun<'_>, name: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for field in run.plan().contracts.iter().flat_map(|contract| contract.minimum_fields_of(name)) {
        if !fields.iter().any(|known| known == field) {
            fields.push(field.to_owned());
        }
    }
    fields
}

/// Met when every file that left was put and read back equal. What the door stopped before that is the contract's.
pub(super) fn published<C: DoorCodes>(files: &LaneFiles) -> Judged {
    if files.left.is_empty() {
        return Err("no file was published".into());
    }
    let mut put = 0;
    let mut stopped_before = None;
    for publication in files.left.values() {
        match publication {
            Publication::Stopped { step, why } if is_put(*step) => return Err(Unmet::from(why.clone())),
            Publication::Stopped { step, why } => stopped_before = Some((*step, why)),
            Publication::Published { .. } => {
                publication.durable(C::SECRET)?;
                put += 1;
            }
        }
    }
    let cause = stopped_before.and_then(|(step, why)| {
        let secret = C::SECRET.filter(|_| step == PublishStep::Secret);
        Some((secret.or(C::CONTRACT)?, why))
    });
    match cause {
        Some((code, why)) => Err(Unmet::blocked_by(code, why.clone())),
        None => Ok(format!("{put} file(s) put once and read back equal")),
    }
}

/// Met when every file of the plan's contract left by the door, with its minimum fields.
pub(super) fn complete<C: DoorCodes>(files: &LaneFiles) -> Judged {
    if files.planned.is_empty() {
        return Err("the plan has no evidence contract for the lane".into());
    }
    // The first cause first: a file that was never tried came after one that was stopped.
    for publication in files.left.values() {
        match (publication, C::PUT, C::SECRET) {
            (Publication::Stopped { step: PublishStep::Secret, why }, _, Some(secret)) => {
                return Err(Unmet::blocked_by(secret, why.clone()));
            }
            (Publication::Stopped { step, why }, Some(put), _) if is_put(*step) => {
                return Err(Unmet::blocked_by(put, why.clone()));
            }
            _ => {
                publication.durable(None)?;
            }
        }
    }
    let missing = files.planned.iter().find(|name| !files.left.contains_key(*name));
    if let Some(code) = missing.and_then(|name| files.withheld.get(name)) {
        return Err(Unmet::blocked_by(code.clone(), format!("{} was not made", missing.map_or("-", String::as_str))));
    }
    match missing {
        Some(missing) => Err(format!("{missing} was not published").into()),
        None => Ok(format!("{} file(s) of the evidence contract: {}", files.planned.len(), files.planned.join(", "))),
    }
}

/// Met when the scan found no secret in any file.
pub(super) fn without_secrets(files: &LaneFiles) -> Judged {
    for publication in files.left.values() {
        publication.non_secret()?;
    }
    if files.left.is_empty() {
        return Err("no file was scanned".into());
    }
    Ok(format!("{} file(s) scanned: no hit", files.left.len()))
}

/// Whether a step is one of the store's, not of the local file's or the document's.
fn is_put(step: PublishStep) -> bool {
    matches!(
        step,
        PublishStep::Exists | PublishStep::Put | PublishStep::ReadBack | PublishStep::Differs | PublishStep::WriteOnce
    )
}

/// Doctors the files so that neither [`published`] nor [`complete`] may accept them.
pub(super) fn lose(files: &mut LaneFiles) {
    for publication in files.left.values_mut() {
        *publication = Publication::Stopped { step: PublishStep::Put, why: "doctored: no answer".to_owned() };
    }
}

/// Doctors the files into ones in which a secret was found.
pub(super) fn leak(files: &mut LaneFiles) {
    files.left.values_mut().for_each(Publication::leak);
}

/// `m3x_execution_summary.json`: whether the lane's checks are met so far, and which codes stand open. The gate itself
/// never takes `overall_pass` for a fact; it judges again.
pub(super) fn execution_summary(run: &LaneRun<'_>, lane: &str, checks: &[&'static dyn AnyCheck], more: Value) -> Value {
    let open = run.open_among(checks);
    let mut summary = json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "lane": lane,
        "written_at_utc": run.instant().rfc3339(),
        "basis": run.basis().word(),
        "overall_pass": run.met(checks),
        "blocker_count": open.len(),
        "blockers": open.keys().collect::<Vec<_>>(),
    });
    if let (Some(summary), Value::Object(more)) = (summary.as_object_mut(), more) {
        summary.extend(more);
    }
    summary
}
