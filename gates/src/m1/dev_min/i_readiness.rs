//! M1.I, in the plan's earlier form M1.F: all deliverables are there, nothing is ambiguous, and the handoff says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::{File, LaneRun, To};
use support::run::finding::Basis;
use support::run::lane::{Lane, Step};
use support::run::outcome::{Decision, Verdict};
use support::run::publication::{Publication, durable_derived, non_secret_derived};

use super::f_driver::DRIVER;
use super::{a_image_contract, e_build_surface, files};

const HANDOFF: &str = "m1_build_go_handoff.json";

/// How the lanes came out, and the decision on them twice.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Review {
    lanes: BTreeMap<String, String>,
    frozen: Decision,
    again: Decision,
    /// Handles with several values that the phase's own lanes use.
    ambiguous: Vec<String>,
    /// Open claims of the plan's registers.
    claims: usize,
}

impl Review {
    /// The code that keeps the phase from being ready.
    fn held_by(&self) -> Option<String> {
        self.frozen.roots.first().map(|root| root.code.clone())
    }
}

static DELIVERABLES: Check<Review> = Check::<Review>::derived(
    "readiness.deliverables",
    "deliverables",
    &["review"],
    |review| {
        if let Some(code) = review.held_by() {
            return Err(Unmet::blocked_by(code, "a lane before this one is not closed"));
        }
        let open: Vec<String> =
            review.lanes.iter().filter(|(_, s)| *s != "closed").map(|(lane, s)| format!("{lane} is {s}")).collect();
        ensure!(open.is_empty(), "{}", open.join(", "));
        ensure!(!review.lanes.is_empty(), "no lane was asked");
        Ok(format!("{} lanes closed", review.lanes.len()))
    },
    |review| {
        review.frozen.roots.clear();
        review.lanes.insert("M1.Z".to_owned(), "held".to_owned());
    },
)
.basis(Basis::Recomputed)
.next("close the lane that is named; its own codes say how");

static UNAMBIGUOUS: Check<Review> = Check::<Review>::derived(
    "readiness.unambiguous",
    "ambiguity",
    &["review"],
    |review| {
        ensure!(
            review.frozen == review.again,
            "judged again from the stored observations it is {:?}, not {:?}",
            review.again.verdict,
            review.frozen.verdict
        );
        ensure!(review.ambiguous.is_empty(), "two values: {}", review.ambiguous.join("; "));
        ensure!(review.claims == 0, "{} blockers are still claimed to be open in the plan", review.claims);
        Ok("judged again, the decision is the same; no handle of the phase has two values".to_owned())
    },
    |review| review.ambiguous.push("doctored".to_owned()),
)
.basis(Basis::Recomputed)
.next("keep one value of the handle in the registry, and close what the plan still calls open");

static COMPLETE: Check<Value> = Check::<Value>::derived(
    "handoff.complete",
    "handoff",
    &["handoff"],
    |handoff| {
        let verdict = handoff.get("verdict").and_then(Value::as_str).unwrap_or("-");
        ensure!(verdict != "-", "{HANDOFF} has no verdict");
        if verdict.starts_with("ADVANCE") || verdict.starts_with("WOULD_ADVANCE") {
            for field in ["platform_run_id", "image_tag", "image_digest", "git_sha", "lanes"] {
                let there = handoff.get(field).is_some_and(|value| !value.is_null() && value != "");
                ensure!(there, "{HANDOFF} has no `{field}`");
            }
        }
        Ok(format!("{HANDOFF} says {verdict}, and of which image"))
    },
    |handoff| *handoff = json!({}),
)
.next("report it as a defect of phasegate, with the execution's folder");

static DURABLE: Check<Publication> =
    durable_derived("handoff.durable", "handoff_missing", &["publish:m1_build_go_handoff.json"], |published| {
        published.durable(Some("PG-M1.I-handoff_secret"))
    })
    .next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

static NON_SECRET: Check<Publication> =
    non_secret_derived("handoff.non_secret", "handoff_secret", &["publish:m1_build_go_handoff.json"])
        .next("take the secret out of the registry, and rotate it");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.I", execute)
        .after("M1.C")
        .after("M1.H")
        .rolls_up()
        .proves("every lane closed, nothing ambiguous, the same decision when judged again; the handoff is durable")
        .checks([&DELIVERABLES as &dyn AnyCheck, &UNAMBIGUOUS, &NON_SECRET, &DURABLE, &COMPLETE])
        .requirement("deliverables-complete", deliverables())
        .requirement("no-ambiguity", unambiguous())
        .requirement("handoff-prepared", handoff())
}

/// The deliverables are complete.
pub(super) fn deliverables() -> Vec<Proof> {
    vec![DELIVERABLES.holds(), DELIVERABLES.refusal()]
}

/// Nothing is ambiguous.
pub(super) fn unambiguous() -> Vec<Proof> {
    vec![UNAMBIGUOUS.holds(), UNAMBIGUOUS.refusal()]
}

/// The handoff is prepared.
pub(super) fn handoff() -> Vec<Proof> {
    vec![COMPLETE.holds(), DURABLE.holds(), DELIVERABLES.holds()]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let frozen = run.decision()?;
    let lanes: BTreeMap<String, String> =
        run.lane_states()?.into_iter().map(|(lane, state)| (lane, state.to_owned())).collect();
    let review = Review {
        again: run.decide_again()?,
        ambiguous: ambiguous(run),
        claims: run.plan().claims.len(),
        lanes: lanes.clone(),
        frozen: frozen.clone(),
    };
    run.observe("review", "the findings of the lanes, and the stored observations", &review)?;
    let identity = a_image_contract::accepted(run).ok();
    let resolved = e_build_surface::resolved(run).ok();
    let ready = matches!(frozen.verdict, Verdict::Advance | Verdict::WouldAdvance);
    let body = json!({
        "m1_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "verdict": run.verdict_text(&frozen),
        "not_a_verdict": true,
        "lanes": lanes,
        "platform_run_id": identity.as_ref().and_then(|i| i.platform_run_id.clone()),
        "image_tag": identity.as_ref().and_then(|i| i.tag.as_deref().ok()),
        "git_sha": identity.as_ref().and_then(|i| i.commit.agreed()),
        "image_digest": resolved.as_ref().and_then(|r| r.registry.as_deref()),
        "repository_uri": resolved.as_ref().map(|r| r.repository_uri.as_str()),
        "evidence_prefix": files::key(run, "").ok().filter(|_| ready),
        "required_of_a_person": ["USER gives build-go", "USER confirms progression to M2"],
        "non_secret": true,
    });
    let documented = run.documented_path(&format!("runs/dev_substrate/m1_build_go/<timestamp>/{HANDOFF}"));
    run.publish(File {
        name: HANDOFF,
        body,
        minimum_fields: &["m1_execution_id", "written_at_utc", "verdict", "lanes"],
        to: To::RunControl,
        documented: Some(documented),
    })?;
    let bucket = run.evidence_bucket()?;
    let key = run.run_control_key(HANDOFF);
    let read = run.get_json("handoff", &bucket, &key)?;
    run.observe("handoff", &format!("s3api get-object of s3://{bucket}/{key}"), &read)
}

/// Handles that this phase's lanes name and that the registry gives two values, unless one is chosen.
fn ambiguous(run: &LaneRun<'_>) -> Vec<String> {
    let records = run.plan().records.iter().flat_map(|record| &record.entries);
    let spans = records.flat_map(|e| std::iter::once(e).chain(e.all_below())).flat_map(|entry| entry.code());
    let names: std::collections::BTreeSet<&str> = spans.collect();
    let conflicting = |name: &&str| {
        run.handles().registry().lines_of(name).len() > 1 && (*name != DRIVER || run.given(name).is_none())
    };
    let why = |name: &str| run.handles().resolve(name).err().map(|error| error.to_string());
    names.into_iter().filter(conflicting).filter_map(why).collect()
}
