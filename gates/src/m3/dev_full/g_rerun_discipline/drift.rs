//! Whether the run's identity drifted: another scenario or digest under the same run id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Step;

use super::mutation::{MUTATION_CODE, Mutation};
use super::run_control::{self, RunControl};
use crate::m3::dev_full::f_runtime_scope_handoff::PACK;
use crate::m3::dev_full::upstream::Identity;

/// The identity of this run, and what it is held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Drift {
    /// By M3.B and M3.C.
    pub current: Result<Identity, String>,
    /// In M3.F's pack, on disk.
    pub pack: Result<Identity, String>,
    /// In the objects that M3.E committed, by key.
    pub committed: BTreeMap<String, Result<Identity, String>>,
    /// Those of them that are not what was committed any more: destroyed, and not drifted.
    pub destroyed: Vec<String>,
    /// In the packs that earlier executions left, by key.
    pub earlier: BTreeMap<String, Result<Identity, String>>,
    /// How many keys were looked through for these, and whether they were all.
    pub listed: usize,
    pub complete: bool,
}

pub(super) static NO_DRIFT: Check<Drift> = Check::<Drift>::new(
    "identity.no_drift",
    "M3G-B2",
    &["drift"],
    |drift| {
        let current = drift.current.as_ref().map_err(|why| Unmet::from(format!("there is no one identity: {why}")))?;
        let pack = drift.pack.as_ref().map_err(|why| Unmet::from(format!("{PACK} of M3.F: {why}")))?;
        ensure!(pack == current, "{PACK} of M3.F is of {pack:?}, the run is {current:?}");
        if let Some(destroyed) = drift.destroyed.first() {
            return Err(Unmet::blocked_by(MUTATION_CODE, destroyed.clone()));
        }
        ensure!(!drift.committed.is_empty(), "no committed object of the run was looked at");
        for (key, committed) in &drift.committed {
            let committed = committed.as_ref().map_err(|why| Unmet::from(format!("{key}: {why}")))?;
            ensure!(committed == current, "{key} is of {committed:?}, the run is {current:?}");
        }
        ensure!(drift.complete, "the list of earlier executions is not complete ({} keys)", drift.listed);
        for (key, earlier) in &drift.earlier {
            let earlier = earlier
                .as_ref()
                .map_err(|why| Unmet::from(format!("{key}: {why}; whether identity drifted cannot be told")))?;
            ensure!(
                earlier.platform_run_id != current.platform_run_id || earlier == current,
                "{key} has {} with {earlier:?}, the run is {current:?}: another identity needs another run id",
                current.platform_run_id
            );
        }
        Ok(format!(
            "{} with one scenario and digest, in {} committed object(s) and against {} earlier pack(s), {} keys listed",
            current.platform_run_id,
            drift.committed.len(),
            drift.earlier.len(),
            drift.listed
        ))
    },
    |drift| {
        if let Ok(current) = drift.current.clone() {
            let drifted = Identity { config_digest: "0".repeat(64), ..current };
            drift.earlier.insert("doctored".to_owned(), Ok(drifted));
        }
    },
)
.next("run the gate again from M3.A: another identity begins another run, and what the old one left stays as it is");

/// Takes down that there is no identity to hold against anything.
pub(super) fn unknown(run: &mut LaneRun<'_>, why: &str) -> Step {
    let drift = Drift {
        current: Err(why.to_owned()),
        pack: Err(why.to_owned()),
        committed: BTreeMap::new(),
        destroyed: Vec::new(),
        earlier: BTreeMap::new(),
        listed: 0,
        complete: false,
    };
    run.observe("drift", "the files of M3.B and M3.C", &drift)
}

/// Holds the identity against the pack, the committed objects and the packs of earlier executions.
pub(super) fn observe(run: &mut LaneRun<'_>, current: &Identity, control: &RunControl) -> Step {
    let pack = run.left_by("M3.F", PACK).and_then(|pack| Identity::in_snapshot(&pack));
    let mutation: Mutation = run.fact("mutation")?;
    let mut committed = BTreeMap::new();
    let mut destroyed = Vec::new();
    for (receipt, object) in mutation.committed {
        match object {
            Ok(object) if object.is_as_committed() => {
                committed.insert(object.key, object.identity);
            }
            Ok(object) => destroyed.push(format!("{} is not what was committed", object.key)),
            Err(why) => destroyed.push(format!("{receipt}: {why}")),
        }
    }
    let own = run.control_key_of("M3.F", PACK)?;
    let mut earlier = BTreeMap::new();
    for key in control.named(|name| name == PACK) {
        if key != own {
            let read = run_control::document(run, "drift", &key)?;
            earlier.insert(key, read.and_then(|pack| Identity::in_snapshot(&pack)));
        }
    }
    let drift = Drift {
        current: Ok(current.clone()),
        pack,
        committed,
        destroyed,
        earlier,
        listed: control.keys.len(),
        complete: control.complete,
    };
    run.observe("drift", "M3.B to M3.F on disk; run.json and header as they stand; packs under run_control", &drift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};
    use support::run::check::AnyCheck as _;
    use support::run::finding::Outcome;
    use support::run::observation::{Answer, Observation, Observations};

    fn identity(run: &str, digest: &str) -> Value {
        json!({ "Ok": { "platform_run_id": run, "scenario_run_id": "s", "config_digest": digest } })
    }

    #[rstest]
    #[case("/earlier", json!({}), Outcome::Met)]
    #[case("/earlier", json!({ "k": identity("other", "x") }), Outcome::Met)]
    #[case("/earlier", json!({ "k": identity("p", "d") }), Outcome::Met)]
    #[case("/earlier", json!({ "k": identity("p", "x") }), Outcome::Unmet)]
    #[case("/earlier", json!({ "k": { "Err": "no JSON" } }), Outcome::Unmet)]
    #[case("/complete", json!(false), Outcome::Unmet)]
    #[case("/pack", identity("p", "x"), Outcome::Unmet)]
    #[case("/pack", json!({ "Err": "not there" }), Outcome::Unmet)]
    #[case("/committed", json!({}), Outcome::Unmet)]
    #[case("/committed", json!({ "k": identity("q", "d") }), Outcome::Unmet)]
    #[case("/committed", json!({ "k": { "Err": "no JSON" } }), Outcome::Unmet)]
    #[case("/destroyed", json!(["run.json"]), Outcome::Blocked)]
    #[case("/current", json!({ "Err": "two seeds" }), Outcome::Unmet)]
    fn the_same_run_id_has_one_identity(#[case] pointer: &str, #[case] value: Value, #[case] outcome: Outcome) {
        let mut seen = json!({
            "current": identity("p", "d"),
            "pack": identity("p", "d"),
            "committed": { "run.json": identity("p", "d") },
            "destroyed": [],
            "earlier": {},
            "listed": 3,
            "complete": true,
        });
        *seen.pointer_mut(pointer).unwrap() = value;
        let mut all = Observations::default();
        all.insert(Observation::new("M3.G", "drift", "test", Answer::Value(seen)).unwrap());
        let finding = NO_DRIFT.judge("M3.G", &all);
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
}
