//! The run's two objects, put once.

use std::collections::BTreeMap;

use serde_json::Value;
use support::ensure;
use support::evidence::PublishStep;
use support::run::check::{Check, Judged, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::publication::Publication;
use support::run::rows::RowFile;

use super::UPLOAD_ROW;
use super::keys::{EXISTS, RUN_HEADER, RUN_JSON, RunKeys};

/// After the first of them that exists already, nothing more of the run is put.
const GROUP: &str = "run_objects";

pub(super) const NOT_PUT: &str = "M3E-B4";
pub(super) const DIFFERS: &str = "M3E-B5";
const SECRET: &str = "M3E-B7";

/// What both objects must hold, and may not hold empty.
const FIELDS: [&str; 5] = ["platform_run_id", "scenario_run_id", "config_digest", "phase_id", "written_at_utc"];

/// What became of each object at the door.
pub(super) type RunObjects = BTreeMap<String, Publication>;

/// The code that names why the door stopped an object.
pub(super) fn code_of(step: PublishStep) -> &'static str {
    match step {
        PublishStep::Exists => EXISTS,
        PublishStep::ReadBack | PublishStep::Differs => DIFFERS,
        PublishStep::Secret => SECRET,
        PublishStep::Put
        | PublishStep::WriteOnce
        | PublishStep::LocalFile
        | PublishStep::MinimumFields
        | PublishStep::Form => NOT_PUT,
    }
}

/// What became of one of them. One that was not tried is blocked by why the one before it stopped.
pub(super) fn object<'o>(objects: &'o RunObjects, name: &str) -> Result<&'o Publication, Unmet> {
    if let Some(publication) = objects.get(name) {
        return Ok(publication);
    }
    for (other, publication) in objects {
        if let Publication::Stopped { step, .. } = publication {
            return Err(Unmet::blocked_by(code_of(*step), format!("not put, because {other} was stopped")));
        }
    }
    Err(Unmet::from(format!("{name} was not put")))
}

fn put(objects: &RunObjects, name: &str) -> Judged {
    match object(objects, name)? {
        published @ Publication::Published { .. } => published.durable(None),
        Publication::Stopped { step, why } => match code_of(*step) {
            NOT_PUT => Err(Unmet::from(why.clone())),
            other => Err(Unmet::blocked_by(other, why.clone())),
        },
    }
}

fn fail_put(objects: &mut RunObjects) {
    for publication in objects.values_mut() {
        *publication = Publication::Stopped { step: PublishStep::Put, why: "doctored: no answer".to_owned() };
    }
}

const PUT_NEXT: &str =
    "read what S3 answered, make s3:PutObject work on the evidence bucket; then run the gate again, under a new run id";

pub(super) static RUN_JSON_PUT: Check<RunObjects> =
    Check::<RunObjects>::new("run_json.put", NOT_PUT, &["run_objects"], |objects| put(objects, RUN_JSON), fail_put)
        .next(PUT_NEXT);

pub(super) static RUN_HEADER_PUT: Check<RunObjects> =
    Check::<RunObjects>::new("run_header.put", NOT_PUT, &["run_objects"], |objects| put(objects, RUN_HEADER), fail_put)
        .next(PUT_NEXT);

pub(super) static FIRST_WRITER: Check<RunObjects> = Check::<RunObjects>::new(
    "run_objects.first_writer",
    EXISTS,
    &["run_objects"],
    |objects| {
        for (name, publication) in objects {
            if let Publication::Stopped { step: PublishStep::Exists, why } = publication {
                return Err(Unmet::from(format!("{name}: {why}")));
            }
        }
        ensure!(!objects.is_empty(), "nothing was put");
        Ok("the store has met no other writer".to_owned())
    },
    |objects| {
        for publication in objects.values_mut() {
            *publication =
                Publication::Stopped { step: PublishStep::Exists, why: "doctored: the key exists".to_owned() };
        }
    },
)
.next("run the gate again: a pinned run is never written twice, the next second has another run id");

pub(super) static NON_SECRET: Check<RunObjects> = Check::<RunObjects>::new(
    "run_objects.non_secret",
    SECRET,
    &["run_objects"],
    |objects| {
        for publication in objects.values() {
            if let Publication::Stopped { step: PublishStep::Secret, why } = publication {
                return Err(Unmet::from(why.clone()));
            }
        }
        ensure!(!objects.is_empty(), "nothing was scanned");
        Ok(format!("{} object(s) scanned: no hit", objects.len()))
    },
    |objects| objects.values_mut().for_each(Publication::leak),
)
.next("take the secret out of what M3.B, M3.C or M3.D left, or out of the keys' handles, and rotate it");

/// Puts both, as the row documents it; the second only after the first was published.
pub(super) fn publish(run: &mut LaneRun<'_>, keys: &RunKeys, bodies: [(&str, Value); 2]) -> Result<RunObjects, Stop> {
    let mut objects = RunObjects::new();
    for (name, body) in bodies {
        let Some(key) = keys.of(name) else { break };
        let file = RowFile { name, body, minimum_fields: &FIELDS, group: GROUP };
        let done = run.publish_by_row(UPLOAD_ROW, file, &[("resolved_key", key)]);
        // A stop that is none of the door's (a row that cannot be read) ends the lane.
        match run.fact::<Publication>(&format!("publish:{name}")) {
            Ok(publication) => drop(objects.insert(name.to_owned(), publication)),
            Err(none) => return Err(done.err().unwrap_or(none)),
        }
        run.observe("run_objects", "the evidence door", &objects)?;
        if done.is_err() {
            break;
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use support::run::check::AnyCheck;

    fn stopped(step: PublishStep) -> RunObjects {
        RunObjects::from([(RUN_JSON.to_owned(), Publication::Stopped { step, why: "so".to_owned() })])
    }

    #[rstest]
    #[case(PublishStep::Form, "M3E-B4")]
    #[case(PublishStep::Secret, "M3E-B7")]
    #[case(PublishStep::MinimumFields, "M3E-B4")]
    #[case(PublishStep::LocalFile, "M3E-B4")]
    #[case(PublishStep::Exists, "M3E-B3")]
    #[case(PublishStep::Put, "M3E-B4")]
    #[case(PublishStep::ReadBack, "M3E-B5")]
    #[case(PublishStep::Differs, "M3E-B5")]
    #[case(PublishStep::WriteOnce, "M3E-B4")]
    fn every_stop_of_the_door_has_one_code(#[case] step: PublishStep, #[case] code: &str) {
        let objects = stopped(step);
        let mut opened = Vec::new();
        let mut blocked = Vec::new();
        for (judged, own) in
            [(put(&objects, RUN_JSON), RUN_JSON_PUT.code()), (put(&objects, RUN_HEADER), RUN_HEADER_PUT.code())]
        {
            let unmet = judged.unwrap_err();
            match unmet.blocked_by {
                Some(by) => blocked.push(by),
                None => opened.push(own),
            }
        }
        assert!(blocked.iter().all(|by| *by == code), "{blocked:?}");
        // What the door says of the other codes is for their own checks to open.
        assert_eq!(opened.len(), usize::from(code == NOT_PUT), "{opened:?}");
    }

    #[test]
    fn what_was_not_tried_without_a_reason_was_not_put() {
        assert_eq!(put(&RunObjects::new(), RUN_JSON).unwrap_err().blocked_by, None);
    }
}
