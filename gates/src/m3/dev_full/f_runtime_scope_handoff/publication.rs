//! The pack on its way out: put once, read back, without a secret, and with the lane's other files.

use support::evidence::PublishStep;
use support::run::check::{Check, Unmet};
use support::run::publication::Publication;
use support::run::rows::{Output, RowOutput};

use super::{HANDOFF_READBACK, PACK};
use crate::m3::dev_full::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};

const PUBLISH_PACK: &str = "publish:m4_handoff_pack.json";

const PUT: &str = "M3F-B5";
const DIFFERS: &str = "M3F-B6";
const SECRET: &str = "M3F-B7";
const CONTRACT_CODE: &str = "M3F-B8";

pub(super) struct Codes;

impl DoorCodes for Codes {
    // The plan's code for a failed put speaks of the pack alone; see CONTRACT.
    const PUT: Option<&'static str> = None;
    const SECRET: Option<&'static str> = Some(SECRET);
}

/// The code under which the pack was stopped at this step.
fn code_of(step: PublishStep) -> &'static str {
    match step {
        PublishStep::Exists | PublishStep::Put | PublishStep::WriteOnce => PUT,
        PublishStep::ReadBack | PublishStep::Differs => DIFFERS,
        PublishStep::Secret => SECRET,
        PublishStep::Form | PublishStep::MinimumFields | PublishStep::LocalFile => CONTRACT_CODE,
    }
}

/// Whether the pack was put, so that it can be read back.
pub(super) fn was_put(pack: &Publication) -> bool {
    match pack {
        Publication::Published { .. } => true,
        Publication::Stopped { step, .. } => code_of(*step) == DIFFERS,
    }
}

pub(super) static PUBLISHED: Check<Publication> = Check::<Publication>::new(
    "handoff.published",
    PUT,
    &[PUBLISH_PACK],
    |pack| match pack {
        Publication::Stopped { step, why } if code_of(*step) == PUT => Err(Unmet::from(why.clone())),
        Publication::Stopped { step, why } => Err(Unmet::blocked_by(code_of(*step), why.clone())),
        Publication::Published { .. } => pack.durable(Some(SECRET)),
    },
    Publication::spoil,
)
.next("read what S3 answered, make s3:PutObject work on the evidence bucket, run the gate again");

pub(super) static READ_BACK: Check<(Publication, RowOutput)> = Check::<(Publication, RowOutput)>::new(
    "handoff.read_back",
    DIFFERS,
    &[PUBLISH_PACK, HANDOFF_READBACK],
    |(pack, row)| {
        let receipt = match pack {
            Publication::Stopped { step, why } if code_of(*step) == DIFFERS => return Err(Unmet::from(why.clone())),
            Publication::Stopped { step, why } => return Err(Unmet::blocked_by(code_of(*step), why.clone())),
            Publication::Published { receipt, .. } => receipt,
        };
        match row.runs.first().map(|run| &run.output) {
            Some(Output::Object { uri, sha256, .. }) if *sha256 == receipt.sha256_local => {
                Ok(format!("{uri} reads back with sha256 {sha256}, the one on disk"))
            }
            Some(Output::Object { uri, sha256, .. }) => {
                Err(format!("{uri} reads back with sha256 {sha256}, on disk it is {}", receipt.sha256_local).into())
            }
            Some(Output::Absent { what }) => Err(format!("{what} was put, and does not exist").into()),
            _ => Err("the pack was not read back".into()),
        }
    },
    |(_, row)| {
        for run in &mut row.runs {
            if let Output::Object { sha256, .. } = &mut run.output {
                *sha256 = "0".repeat(64);
            }
        }
    },
)
.next("do not trust the object; find out who writes to the evidence bucket, then run the gate again");

pub(super) static NON_SECRET: Check<LaneFiles> =
    Check::<LaneFiles>::new("m3f.non_secret", SECRET, &[LANE_FILES], lane_files::without_secrets, lane_files::leak)
        .next("take the secret out of the registry or the runbook, and rotate it");

pub(super) static CONTRACT: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3f.evidence_complete",
    CONTRACT_CODE,
    &[LANE_FILES],
    |files| {
        // The pack has codes of its own, and what came after it rests on it.
        if let Some(Publication::Stopped { step, why }) = files.left.get(PACK)
            && code_of(*step) != CONTRACT_CODE
        {
            return Err(Unmet::blocked_by(code_of(*step), why.clone()));
        }
        lane_files::complete::<Codes>(files)
    },
    lane_files::lose,
)
.next("do what the message says, then run the gate again");
