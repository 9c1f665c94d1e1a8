//! `phasegate list`.

use std::io::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use support::harness::exit::Exit;
use support::harness::lock::Lock;
use support::harness::suite::PlanSuite;
use support::plan;
use support::run::cases::{Case, CaseBinding};
use support::run::check::{AnyCheck, CodeSource, Proof, derived_code};
use support::run::lane::Phase;
use support::run::outcome::{CaseKind, Spot};

use super::phases::{gates_of, id_of, suites};
use super::{CliError, Format, Where, say};

/// List the cases that the plans ask for, and what answers each; asks no network and writes nothing
#[derive(Debug, Args)]
pub(super) struct List {
    /// The phase: m0, m1 and so on, or plan for the master plan; all phases that have a plan, if left out
    phase: Option<String>,
    #[command(flatten)]
    place: Where,
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// One plan with its cases.
#[derive(Debug, Serialize)]
struct ListedPlan {
    track: String,
    phase: String,
    path: String,
    /// Whether this version has a gate for the track and phase.
    gate: bool,
    boxes: usize,
    rows: usize,
    cases: Vec<ListedCase>,
}

#[derive(Debug, Serialize)]
struct ListedCase {
    name: String,
    kind: CaseKind,
    lane: String,
    text: String,
    place: Spot,
    ticked: Option<bool>,
    /// The requirement that a box's text is bound to.
    requirement: Option<String>,
    /// Whether checks answer it; the gate never passes a case that is not bound.
    bound: bool,
    /// What to do about a case that is not bound.
    next: Option<String>,
    proofs: Vec<ListedProof>,
}

#[derive(Debug, Serialize)]
struct ListedProof {
    lane: String,
    check: String,
    code: String,
    /// Whether it is the refusal of the check's negative control.
    refusal: bool,
}

impl List {
    pub(super) fn main(&self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let root = &self.place.root();
        let phases = match &self.phase {
            Some(typed) => vec![id_of(typed)?],
            None => plan::phases(root)?,
        };
        let lock = Lock::read(root)?;
        let mut listed = Vec::new();
        let mut exit = Exit::Advance;
        for id in &phases {
            let gates = gates_of(id)?;
            for suite in suites(root, id, &gates, lock.as_ref())? {
                exit = exit.worse(warn(&suite));
                listed.push(listed_plan(&suite));
            }
        }
        match self.format {
            Format::Text => listed.iter().try_for_each(|plan| print(plan, out))?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &listed).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
        }
        Ok(exit)
    }
}

/// A plan with lines that cannot be read may ask for more than is listed.
fn warn(suite: &PlanSuite<'_>) -> Exit {
    for problem in &suite.binding_problems {
        say(&format!("error: {}", problem.why));
    }
    let errors = suite.parsed.errors.len();
    if errors > 0 {
        let path = display(&suite.parsed.plan.source.path);
        say(&format!("error: {path}: {errors} line(s) cannot be read; `phasegate lint` shows them"));
    }
    if errors > 0 || !suite.binding_problems.is_empty() { Exit::Plan } else { Exit::Advance }
}

fn listed_plan(suite: &PlanSuite<'_>) -> ListedPlan {
    let plan = &suite.parsed.plan;
    let phase = suite.phase.phase();
    ListedPlan {
        track: plan.track.clone(),
        phase: plan.phase.clone(),
        path: display(&plan.source.path),
        gate: !phase.lanes.is_empty(),
        boxes: plan.boxes.len(),
        rows: plan.rows.len(),
        cases: suite.cases.iter().map(|case| listed_case(case, phase)).collect(),
    }
}

fn listed_case(case: &Case, phase: &Phase) -> ListedCase {
    let (proofs, next): (&[Proof], _) = match &case.binding {
        CaseBinding::Bound(proofs) => (proofs, None),
        CaseBinding::Unbound { next } | CaseBinding::Locked { next, .. } => (&[], Some(next.clone())),
    };
    ListedCase {
        name: case.name.clone(),
        kind: case.kind,
        lane: case.lane.clone(),
        text: case.text.clone(),
        place: case.place.clone(),
        ticked: case.ticked,
        requirement: case.requirement.clone(),
        bound: matches!(case.binding, CaseBinding::Bound(_)),
        next: next.filter(|_| !phase.lanes.is_empty()),
        proofs: proofs.iter().flat_map(|proof| listed_proofs(proof, phase)).collect(),
    }
}

fn listed_proofs(proof: &Proof, phase: &Phase) -> Vec<ListedProof> {
    match proof {
        Proof::Holds(check) => vec![listed_check(*check, phase, false)],
        Proof::Refused(check) => vec![listed_check(*check, phase, true)],
        Proof::Lane(id) => phase.lane(id).map_or_else(Vec::new, |lane| {
            lane.own_checks().iter().map(|check| listed_check(*check, phase, false)).collect()
        }),
    }
}

fn listed_check(check: &dyn AnyCheck, phase: &Phase, refusal: bool) -> ListedProof {
    let lane = phase.owner(check.name()).unwrap_or(phase.id);
    let code = match check.code() {
        CodeSource::Plan(code) => code.to_owned(),
        CodeSource::Derived(name) => derived_code(lane, name),
    };
    ListedProof { lane: lane.to_owned(), check: check.name().to_owned(), code, refusal }
}

fn print(plan: &ListedPlan, out: &mut dyn Write) -> std::io::Result<()> {
    let bound = plan.cases.iter().filter(|case| case.bound).count();
    let gate = if plan.gate { "" } else { "; this version has no gate for it" };
    writeln!(
        out,
        "{} {}: {} ({} cases: {} boxes, {} Verify-IDs; {bound} bound{gate})",
        plan.track,
        plan.phase,
        plan.path,
        plan.cases.len(),
        plan.boxes,
        plan.rows,
    )?;
    for case in &plan.cases {
        let mark = match case.ticked {
            Some(true) => "[x] ",
            Some(false) => "[ ] ",
            None => "",
        };
        writeln!(out, "  {}", case.name)?;
        writeln!(out, "      {}  {mark}{}", case.place, case.text)?;
        writeln!(out, "      {}", answer(case))?;
    }
    writeln!(out)
}

fn answer(case: &ListedCase) -> String {
    let checks: Vec<String> = case
        .proofs
        .iter()
        .map(|proof| {
            let refusal = if proof.refusal { ", its refusal" } else { "" };
            format!("{} ({}{refusal})", proof.check, proof.code)
        })
        .collect();
    match (&case.requirement, case.bound) {
        (Some(requirement), true) => format!("{requirement}: {}", checks.join(", ")),
        (None, true) => checks.join(", "),
        (Some(requirement), false) => format!("unbound: no lane of this version declares `{requirement}`"),
        (None, false) => match &case.next {
            Some(next) => format!("unbound; {next}"),
            None => "unbound".to_owned(),
        },
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
