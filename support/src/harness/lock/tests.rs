use std::path::Path;

use rstest::rstest;

use super::*;
use crate::harness::bindings::{Binding, Bindings};
use crate::plan::Source;
use crate::registry::{self, Handles};
use crate::run::cases::{Case, CaseBinding, cases_of};
use crate::run::finding::{Control, Outcome};
use crate::run::lane::Phase;
use crate::run::outcome::CaseState;

const PLAN: &str = "\
# Plan - M9

## 1) Authority Inputs
1. `docs/x_handles.registry.v0.md`
2. `runs/x/handoff.json`

## M9 Decision Pins
1. Identity law:
   - one id for one run;
   - no id twice.

### M9.A First lane
Tasks:
1. Resolve:
   - `BUCKET_NAME`
   - `NOT_THERE`
   - all true => `ADVANCE_TO_M10`
2. `pack.json` must contain:
   - `run_id`
   - `digest`
3. Evaluate predicates:
   - `handles_closed`
   - `digest_holds`

DoD:
- [ ] The first thing is so.
- [x] The second thing is so.

| Verify ID | Command template | Purpose |
| --- | --- | --- |
| `M9A_V1_BUCKET` | `aws s3api head-bucket --bucket <BUCKET_NAME> --region <AWS_REGION>` | the bucket answers |

| Handle key | Source class | Resolution source | Verification | Status | Blocker |
| --- | --- | --- | --- | --- | --- |
| `REGION_OLD` | registry literal | registry | `M9A_V1_BUCKET` | `CLOSED` | `none` |
| M8 evidence | durable artifact | `s3://evidence/m8/` | `M9A_V1_BUCKET` | `CLOSED` | `none` |

M9A retry posture (pinned):
1. Failure of the build:
   - ends the attempt.
2. Failure of the push:
   - is tried once more.

M9A other notes:
1. Nothing rests on this.

M9A blocker taxonomy (fail-closed):
1. `M9A-B1`: the bucket is not there.
2. `M9A-B2`: a handle is missing.

## M9 Evidence Contract
1. `a.json`
2. `b.json`

`a.json` minimum fields:
1. `written_at`
2. `id`

## 8) Blocker Register (Must Be Empty Before M9 Execution)
Current blockers:
1. None.
";

const REGISTRY: &str = "\
# Registry
* `BUCKET_NAME = \"evidence\"`
* `AWS_REGION = \"eu-west-2\"`
* `REGION_OLD = \"<PIN_AT_P9>\"`
";

fn bound(text: &str, to: &str) -> Binding {
    Binding { lane: "M9.A".to_owned(), requirement: to.to_owned(), hash: plan::hash_of(text), text: text.to_owned() }
}

fn bindings(first: &str) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.extend("test", vec![bound("The first thing is so.", first)]).unwrap();
    bindings
}

fn plan_of(text: &str) -> crate::plan::Plan {
    let parsed = plan::parse(Source::new("docs/platform.M9.build_plan.md", text), "dev_min");
    assert_eq!(parsed.errors, []);
    parsed.plan
}

fn pins_with(plan: &crate::plan::Plan, registry: &str, bindings: &Bindings) -> Pins {
    let handles = Handles::new(registry::parse(Path::new("docs/x_handles.registry.v0.md"), registry).registry);
    pins_of(&Subject {
        plan,
        handles: &handles,
        bindings,
        needed: ["AWS_REGION", "BUCKET_NAME"],
        records: vec![("M9.A", "retry posture")],
    })
}

fn pins(plan: &str, registry: &str) -> Pins {
    pins_with(&plan_of(plan), registry, &bindings("first"))
}

fn lock_of(pins: &Pins, account: Option<&str>) -> Lock {
    let proposal = propose(None, std::slice::from_ref(pins), &["M9"], account).unwrap();
    Lock::parse(proposal.text().to_owned()).unwrap()
}

/// Kind, change, and whether it relaxes, of all differences that hold a gate.
fn seen(found: &[Difference]) -> Vec<(Kind, Change, bool)> {
    found.iter().map(|d| (d.kind, d.change, d.relaxed)).collect()
}

#[test]
fn a_lock_that_was_just_written_differs_in_nothing_and_is_written_alike() {
    let pins = pins(PLAN, REGISTRY);
    let lock = lock_of(&pins, Some("230372904534"));
    assert_eq!(lock.compare(&pins).unwrap(), []);
    let again = propose(Some(&lock), std::slice::from_ref(&pins), &["M9"], None).unwrap();
    assert!(again.differences.is_empty());
    assert_eq!(again.text(), lock.text());
    assert_eq!(lock.account(), Some("230372904534"));
}

#[test]
fn handles_are_pinned_by_value_and_unresolved_ones_by_a_word() {
    let lock = lock_of(&pins(PLAN, REGISTRY), None);
    let text = lock.text();
    for says in [
        "name = \"AWS_REGION\"\nvalue = '\"eu-west-2\"'",
        "name = \"BUCKET_NAME\"\nvalue = '\"evidence\"'",
        "name = \"NOT_THERE\"\nunresolved = \"missing\"",
        "name = \"REGION_OLD\"\nunresolved = \"placeholder\"",
    ] {
        assert!(text.contains(says), "{says}\n{text}");
    }
    assert!(!text.contains("ADVANCE_TO_M10"), "a verdict is no handle");
}

#[test]
fn a_value_that_looks_like_a_secret_is_not_written() {
    let key = ["AKIA", "Q3EGRV7XK2LMN5TZ"].concat();
    let registry = REGISTRY.replace("\"evidence\"", &format!("\"{key}\""));
    let lock = lock_of(&pins(PLAN, &registry), None);
    assert!(!lock.text().contains(&key));
    assert!(lock.text().contains("unresolved = \"secret ("), "{}", lock.text());
}

#[test]
fn a_box_that_looks_like_a_secret_is_not_written_either() {
    let key = ["AKIA", "Q3EGRV7XK2LMN5TZ"].concat();
    let plan = PLAN.replace("The second thing", &format!("The key {key}"));
    let error = propose(None, &[pins(&plan, REGISTRY)], &["M9"], None).unwrap_err().to_string();
    assert!(error.contains("in a `text`") && !error.contains(&key), "{error}");
}

// What the plan or registry says -> what it says now -> what that is.
#[rstest]
#[case::box_changed("The first thing is so.", "The first thing may be so.", Kind::Box, Change::Changed, false)]
#[case::box_added(
    "- [x] The second thing is so.",
    "- [x] The second thing is so.\n- [ ] A third.",
    Kind::Box,
    Change::Added,
    false
)]
#[case::box_removed("- [x] The second thing is so.\n", "", Kind::Box, Change::Removed, true)]
#[case::box_weakened_below(
    "- [ ] The first thing is so.",
    "- [ ] The first thing is so.\n  - unless it is not",
    Kind::Box,
    Change::Changed,
    false
)]
#[case::row_template(
    "head-bucket --bucket <BUCKET_NAME>",
    "get-bucket-location --bucket <BUCKET_NAME>",
    Kind::Row,
    Change::Changed,
    false
)]
#[case::row_purpose("| the bucket answers |", "| the bucket may answer |", Kind::Row, Change::Changed, false)]
#[case::row_added(
    "| the bucket answers |",
    "| the bucket answers |\n| `M9A_V2_MORE` | `Test-Path x` | more |",
    Kind::Row,
    Change::Added,
    false
)]
#[case::code_meaning("the bucket is not there.", "the bucket is slow.", Kind::Code, Change::Changed, false)]
#[case::code_added(
    "2. `M9A-B2`: a handle is missing.",
    "2. `M9A-B2`: a handle is missing.\n3. `M9A-B3`: more.",
    Kind::Code,
    Change::Added,
    false
)]
#[case::code_removed("2. `M9A-B2`: a handle is missing.\n", "", Kind::Code, Change::Removed, true)]
#[case::law_reworded("no id twice", "no id thrice", Kind::Law, Change::Changed, false)]
#[case::law_lost_a_clause("   - no id twice.\n", "", Kind::Law, Change::Changed, true)]
#[case::law_renamed("Identity law", "Other law", Kind::Law, Change::Removed, true)]
#[case::file_removed("2. `b.json`\n", "", Kind::File, Change::Removed, true)]
#[case::file_added("2. `b.json`\n", "2. `b.json`\n3. `c.json`\n", Kind::File, Change::Added, false)]
#[case::field_removed("2. `id`\n", "", Kind::Field, Change::Removed, true)]
#[case::field_added("2. `id`\n", "2. `id`\n3. `more`\n", Kind::Field, Change::Added, false)]
#[case::task_field_removed("   - `digest`\n", "", Kind::Field, Change::Removed, true)]
#[case::handle_value("BUCKET_NAME = \"evidence\"", "BUCKET_NAME = \"elsewhere\"", Kind::Handle, Change::Changed, false)]
#[case::handle_resolved("<PIN_AT_P9>", "eu-west-1", Kind::Handle, Change::Changed, false)]
#[case::handle_unresolved(
    "BUCKET_NAME = \"evidence\"",
    "BUCKET_NAME = \"TO_PIN\"",
    Kind::Handle,
    Change::Changed,
    false
)]
#[case::handle_removed("   - `NOT_THERE`\n", "", Kind::Handle, Change::Removed, true)]
#[case::handle_added("   - `NOT_THERE`\n", "   - `NOT_THERE`\n   - `NOR_THIS`\n", Kind::Handle, Change::Added, false)]
#[case::provenance_moved("s3://evidence/m8/", "s3://evidence/m8-other/", Kind::Prerequisite, Change::Changed, false)]
#[case::predicate_removed("   - `digest_holds`\n", "", Kind::Predicate, Change::Removed, true)]
#[case::predicate_added(
    "   - `digest_holds`\n",
    "   - `digest_holds`\n   - `more_holds`\n",
    Kind::Predicate,
    Change::Added,
    false
)]
#[case::register_may_be_full(
    "(Must Be Empty Before M9 Execution)",
    "(for the record)",
    Kind::Register,
    Change::Changed,
    true
)]
#[case::record_changed("   - is tried once more.", "   - is tried for ever.", Kind::Record, Change::Changed, false)]
#[case::record_cut("   - is tried once more.\n", "", Kind::Record, Change::Changed, true)]
#[case::record_removed("M9A retry posture (pinned):", "M9A posture:", Kind::Record, Change::Removed, true)]
#[case::another_handoff("runs/x/handoff.json", "runs/y/handoff.json", Kind::Authority, Change::Removed, true)]
fn each_pinned_thing_that_differs_is_named_and_holds(
    #[case] was: &str,
    #[case] is: &str,
    #[case] kind: Kind,
    #[case] change: Change,
    #[case] relaxed: bool,
) {
    let old = pins(PLAN, REGISTRY);
    let lock = lock_of(&old, None);
    assert!(PLAN.contains(was) || REGISTRY.contains(was), "the edit does not fit: {was}");
    let (plan, registry) = (PLAN.replacen(was, is, 1), REGISTRY.replacen(was, is, 1));
    let now = pins(&plan, &registry);
    let found = lock.compare(&now).unwrap();
    assert!(seen(&found).contains(&(kind, change, relaxed)), "{found:#?}");
    assert!(found.iter().all(|d| d.kind == kind), "only that differs: {found:#?}");

    let held = hold(Some(&lock), &now, false, &mut []);
    let check = match change {
        Change::Added => "phase.lock_unbound",
        Change::Changed => "phase.lock_stale",
        Change::Removed | Change::Renumbered => "phase.lock_orphan",
    };
    let finding = held.findings.iter().find(|f| f.check == check).unwrap();
    assert_eq!(finding.outcome, Outcome::Unmet);
    let place = if change == Change::Removed { "gates.lock:" } else { "docs/" };
    assert!(finding.why.contains(place), "{}", finding.why);

    let proposal = propose(Some(&lock), &[now], &["M9"], None).unwrap();
    assert_eq!(proposal.relaxes(), found.iter().any(|d| d.relaxed));
    assert_eq!(proposal.differences.len(), found.len());
}

#[test]
fn ticks_order_and_white_space_are_not_pinned() {
    let lock = lock_of(&pins(PLAN, REGISTRY), None);
    let plan = PLAN
        .replace("1. Nothing rests on this.", "1. Nothing rests on that.")
        .replace("- [ ] The first thing is so.", "- [x]   The first\n  thing is so.")
        .replace("`CLOSED`", "`OPEN`")
        .replace("# Plan - M9\n", "# Plan - M9\n\nMore words.\n");
    assert_eq!(lock.compare(&pins(&plan, REGISTRY)).unwrap(), []);
}

#[test]
fn a_box_that_moves_up_is_the_same_box() {
    let lock = lock_of(&pins(PLAN, REGISTRY), None);
    let plan = PLAN
        .replace("- [ ] The first thing is so.\n", "")
        .replace("- [x] The second thing is so.\n", "- [x] The second thing is so.\n- [ ] The first thing is so.\n");
    let now = pins(&plan, REGISTRY);
    let found = lock.compare(&now).unwrap();
    assert_eq!(seen(&found), [(Kind::Box, Change::Renumbered, false); 2], "{found:#?}");
    let held = hold(Some(&lock), &now, true, &mut []);
    assert!(held.findings.iter().all(|f| f.outcome == Outcome::Met), "{held:?}");
}

#[rstest]
#[case::moved("first", "second", true)]
#[case::bound_now("", "second", false)]
#[case::bound_no_more("first", "", false)]
fn a_text_that_is_bound_to_something_else_is_stale(#[case] was: &str, #[case] is: &str, #[case] relaxed: bool) {
    let to = |to: &str| if to.is_empty() { Bindings::default() } else { bindings(to) };
    let plan = plan_of(PLAN);
    let lock = lock_of(&pins_with(&plan, REGISTRY, &to(was)), None);
    let found = lock.compare(&pins_with(&plan, REGISTRY, &to(is))).unwrap();
    assert_eq!(seen(&found), [(Kind::Box, Change::Changed, relaxed)], "{found:#?}");
}

fn cases(plan: &str) -> Vec<Case> {
    let phase = Phase::without_lanes("dev_min", "M9", "M10");
    cases_of(&plan_of(plan), &phase, &Bindings::default()).unwrap()
}

#[rstest]
#[case::stale_box("The first thing is so.", "The first thing may be so.", "dod-1", CaseState::Stale)]
#[case::stale_row("the bucket answers", "the bucket may answer", "M9A_V1", CaseState::Stale)]
#[case::new_box(
    "- [x] The second thing is so.",
    "- [x] The second thing is so.\n- [ ] A third.",
    "dod-3",
    CaseState::Unbound
)]
fn the_case_of_a_box_or_row_that_differs_cannot_pass(
    #[case] was: &str,
    #[case] is: &str,
    #[case] named: &str,
    #[case] expected: CaseState,
) {
    let lock = lock_of(&pins(PLAN, REGISTRY), None);
    let plan = PLAN.replacen(was, is, 1);
    let mut cases = cases(&plan);
    let held = hold(Some(&lock), &pins(&plan, REGISTRY), false, &mut cases);
    assert_eq!(held.findings.len(), 1, "{held:?}");
    let locked: Vec<(&str, CaseState)> = cases
        .iter()
        .filter_map(|case| match &case.binding {
            CaseBinding::Locked { state, .. } => Some((case.name.as_str(), *state)),
            _ => None,
        })
        .collect();
    let [(name, state)] = locked.as_slice() else { panic!("{locked:?}") };
    assert!(name.contains(named) && *state == expected, "{name} {state:?}");
}

#[test]
fn a_lock_that_agrees_is_met_and_shows_that_it_can_refuse() {
    let pins = pins(PLAN, REGISTRY);
    let held = hold(Some(&lock_of(&pins, None)), &pins, true, &mut []);
    let [finding] = held.findings.as_slice() else { panic!("{held:?}") };
    assert_eq!(finding.outcome, Outcome::Met);
    assert!(matches!(&finding.control, Control::Refused(why) if why.contains("gone")), "{finding:?}");
}

#[rstest]
#[case::no_lock(None, true)]
#[case::no_lock_and_none_asked(None, false)]
#[case::another_track(Some("dev_full"), true)]
#[case::another_track_and_none_asked(Some("dev_full"), false)]
fn a_gate_that_nothing_is_pinned_for(#[case] track: Option<&str>, #[case] required: bool) {
    let lock = track.map(|track| {
        let text =
            lock_of(&pins(PLAN, REGISTRY), None).text().replace("track = \"dev_min\"", &format!("track = \"{track}\""));
        Lock::parse(text).unwrap()
    });
    let held = hold(lock.as_ref(), &pins(PLAN, REGISTRY), required, &mut []);
    let codes: Vec<&str> = held.findings.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(codes, if required { vec!["PG-M9-lock_missing"] } else { vec![] });
    assert_eq!(held.notes.is_empty(), required);
}

#[rstest]
#[case::not_toml("version = ", "expected")]
#[case::no_version("account = \"230372904534\"\n", "version")]
#[case::later_version("version = 2\nnew = 1\n", "version 2")]
#[case::unknown_key("version = 1\nskip = true\n", "skip")]
#[case::unknown_key_below(
    "version = 1\n[[gate]]\ntrack = \"a\"\nphase = \"b\"\n[[gate.code]]\ncode = \"c\"\nmeaning = \"d\"\nskip = true\n",
    "skip"
)]
#[case::no_account("version = 1\naccount = \"12\"\n", "12 digits")]
#[case::two_gates(
    "version = 1\n[[gate]]\ntrack = \"a\"\nphase = \"b\"\n[[gate]]\ntrack = \"a\"\nphase = \"b\"\n",
    "gates.lock:5"
)]
#[case::two_codes(
    "version = 1\n[[gate]]\ntrack = \"a\"\nphase = \"b\"\n[[gate.code]]\ncode = \"c\"\nmeaning = \"d\"\n[[gate.code]]\ncode = \"c\"\nmeaning = \"e\"\n",
    "gates.lock:8"
)]
#[case::wrong_hash(
    "version = 1\n[[binding]]\nlane = \"M9.A\"\nrequirement = \"r\"\nhash = \"00\"\ntext = \"t\"\n",
    "gates.lock:2"
)]
fn a_lock_that_cannot_be_trusted_is_an_error(#[case] text: &str, #[case] says: &str) {
    let error = Lock::parse(text.to_owned()).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn another_account_and_a_plan_that_is_gone_relax() {
    let pins = pins(PLAN, REGISTRY);
    let lock = lock_of(&pins, Some("230372904534"));
    let moved = propose(Some(&lock), std::slice::from_ref(&pins), &["M9"], Some("111122223333")).unwrap();
    assert_eq!(moved.differences.iter().map(|(_, d)| (d.kind, d.relaxed)).collect::<Vec<_>>(), [(Kind::Account, true)]);
    let gone = propose(Some(&lock), &[], &["M9"], None).unwrap();
    assert_eq!(gone.differences.iter().map(|(_, d)| (d.kind, d.relaxed)).collect::<Vec<_>>(), [(Kind::Gate, true)]);
    let unknown = propose(Some(&lock), &[], &["M3"], None).unwrap();
    assert!(unknown.differences.is_empty() && unknown.text() == lock.text(), "what another version pinned stays");
    assert!(matches!(propose(None, &[pins], &["M9"], Some("12")), Err(LockError::Account(_))));
}

#[test]
fn own_bindings_stay_while_a_plan_has_their_text() {
    let pins = pins(PLAN, REGISTRY);
    let binding = |text: &str| {
        format!(
            "[[binding]]\nlane = \"M9.A\"\nrequirement = \"r\"\nhash = \"{}\"\ntext = \"{text}\"\n",
            plan::hash_of(text)
        )
    };
    let own = binding("The second thing is so.") + &binding("A text of the past.");
    let text = lock_of(&pins, None).text().replacen("[[gate]]", &format!("{own}\n[[gate]]"), 1);
    let lock = Lock::parse(text).unwrap();
    assert_eq!(lock.bindings().count(), 2);
    let proposal = propose(Some(&lock), &[pins], &["M9"], None).unwrap();
    assert_eq!(
        proposal.differences.iter().map(|(_, d)| (d.kind, d.change)).collect::<Vec<_>>(),
        [(Kind::Binding, Change::Removed)]
    );
    let kept = Lock::parse(proposal.text().to_owned()).unwrap();
    assert_eq!(kept.bindings().map(|(b, _)| b.text.as_str()).collect::<Vec<_>>(), ["The second thing is so."]);
}

#[test]
fn a_lock_is_written_whole_over_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(NAME), "old").unwrap();
    let proposal = propose(None, &[pins(PLAN, REGISTRY)], &["M9"], None).unwrap();
    proposal.write(folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join(NAME)).unwrap(), proposal.text());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    let error = proposal.write(&folder.path().join("gone")).unwrap_err();
    assert!(matches!(error, LockError::Unwritable { .. }), "{error}");
}
