//! A Verify-ID passes on its own command, and not on a check beside it.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::harness::bindings::Bindings;
use crate::plan::{Source, parse};
use crate::run::cases::cases_of;
use crate::run::check::Check;
use crate::run::observation::Observation;
use crate::substrate::reply::{CallError, CallErrorKind};

static COUNT: Check<u32> = Check::<u32>::derived(
    "count",
    "count",
    &["n"],
    |n| if *n > 0 { Ok(n.to_string()) } else { Err("none".into()) },
    |n| *n = 0,
);

fn seen(name: &str, answer: Answer) -> Observation {
    Observation::new("M9.A", name, "test", answer).unwrap()
}

fn refusal() -> Answer {
    Answer::Failed(CallError {
        kind: CallErrorKind::Denied,
        service: "s3".to_owned(),
        operation: "head-bucket".to_owned(),
        target: "-".to_owned(),
        status: Some(403),
        request_id: None,
        message: "denied".to_owned(),
        attempts: 1,
    })
}

#[rstest]
#[case::carried_out("`aws s3api head-bucket --bucket b-1`", Some(Answer::Value(json!({}))), CaseState::Passed)]
#[case::not_called("`aws s3api head-bucket --bucket b-1`", None, CaseState::Failed)]
#[case::not_answered("`aws s3api head-bucket --bucket b-1`", Some(refusal()), CaseState::Failed)]
#[case::no_executor("`aws s3api get-bucket-location --bucket b-1`", None, CaseState::Failed)]
#[case::prose("look at the bucket", None, CaseState::Passed)]
fn a_row_passes_only_when_its_command_was_carried_out(
    #[case] cell: &str,
    #[case] answer: Option<Answer>,
    #[case] state: CaseState,
) {
    let text = format!(
        "# Plan - M9\n\n### M9.A One\n\n| Verify ID | Command template | Purpose |\n| --- | --- | --- |\n| `M9A_V1_X` | {cell} | x |\n"
    );
    let plan = parse(Source::new("platform.M9.build_plan.md", text), "dev_min").plan;
    let lane = Lane::new("M9.A", |_| Ok(())).checks([&COUNT as &dyn AnyCheck]).row("M9A_V1_X", [COUNT.holds()]);
    let phase = Phase { lanes: vec![lane], ..Phase::without_lanes("dev_min", "M9", "M10") };
    let cases = cases_of(&plan, &phase, &Bindings::default()).unwrap();
    let mut observations: Observations = [seen("n", Answer::Value(json!(1)))].into_iter().collect();
    if let Some(answer) = answer {
        observations.insert(seen("M9A_V1_X", answer));
    }
    let findings = vec![COUNT.judge("M9.A", &observations)];
    let selected = BTreeSet::from([cases[0].name.clone()]);
    let outcome = case_outcome(&cases[0], &phase, &findings, &observations, &selected, "run");
    assert_eq!(outcome.state, state, "{outcome:#?}");
    if state == CaseState::Failed {
        let why = &outcome.proofs.last().unwrap().why;
        assert!(why.contains("M9A_V1_X") && why.contains("not carried out"), "{why}");
    }
}
