//! Cases: the boxes and Verify-IDs of a plan, each with the proofs that answer it, or with the reason why nothing does.

use super::check::Proof;
use super::lane::Phase;
use super::outcome::{CaseKind, CaseState, Spot};
use crate::command;
use crate::harness::bindings::Bindings;
use crate::plan::{self, AlikeNames, BoxKind, CaseSubject, Place, Plan, PlanBox, VerifyRow};

/// One named test.
#[derive(Clone)]
pub struct Case {
    /// `dev_min::M3.B::dod-2::collision_check_is_executed_and_evidenced`.
    pub name: String,
    /// What it is in the plan.
    pub kind: CaseKind,
    /// Its lane; the phase for a completion box.
    pub lane: String,
    /// What the plan requires.
    pub text: String,
    /// Where.
    pub place: Spot,
    /// Whether the plan claims it as done.
    pub ticked: Option<bool>,
    /// The requirement that the box's text is bound to, whether or not a lane declares it; none for rows.
    pub requirement: Option<String>,
    /// The Verify-ID whose documented command must have been carried out for the case to pass; none for boxes and for prose.
    pub command_of: Option<String>,
    /// What answers it.
    pub binding: CaseBinding,
}

/// What answers a case.
#[derive(Clone)]
pub enum CaseBinding {
    /// These proofs.
    Bound(Vec<Proof>),
    /// Nothing.
    Unbound {
        /// What to do about it.
        next: String,
    },
    /// Something might, but `gates.lock` stands against it.
    Locked {
        /// `Stale` or `Unbound`.
        state: CaseState,
        /// What the lock says.
        why: String,
        /// What to do about it.
        next: String,
    },
}

/// The spot of a plan's place.
#[must_use]
pub fn spot(place: &Place) -> Spot {
    Spot { path: place.path.to_path_buf(), line: place.line }
}

/// The cases of a plan in the order of the document. `bindings` are the phase's, with those of the plan's repository.
///
/// # Errors
/// When two would have the same name: every such pair.
pub fn cases_of(plan: &Plan, phase: &Phase, bindings: &Bindings) -> Result<Vec<Case>, Vec<AlikeNames>> {
    let named = plan::case_names(plan)?;
    Ok(named
        .into_iter()
        .filter_map(|case| match case.subject {
            CaseSubject::Box(index) => plan.boxes.get(index).map(|it| box_case(case.name, it, plan, phase, bindings)),
            CaseSubject::Row(index) => plan.rows.get(index).map(|it| row_case(case.name, it, phase)),
        })
        .collect())
}

fn box_case(name: String, plan_box: &PlanBox, plan: &Plan, phase: &Phase, bindings: &Bindings) -> Case {
    let lane = plan_box.lane.clone().unwrap_or_else(|| plan.phase.clone());
    let hash = plan_box.hash();
    let requirement = bindings.requirement(&lane, &hash);
    let proofs = requirement.and_then(|requirement| phase.requirement(&lane, requirement));
    Case {
        name,
        kind: match plan_box.kind {
            BoxKind::Dod => CaseKind::Dod,
            BoxKind::Checklist => CaseKind::Checklist,
            BoxKind::Progress => CaseKind::Progress,
        },
        text: plan_box.text.clone(),
        place: spot(&plan_box.place),
        ticked: Some(plan_box.ticked),
        requirement: requirement.map(str::to_owned),
        command_of: None,
        binding: proofs.map_or_else(
            || CaseBinding::Unbound {
                next: format!(
                    "bind it in gates.lock: [[binding]] lane = \"{lane}\", hash = \"{hash}\", and the requirement that it is"
                ),
            },
            CaseBinding::Bound,
        ),
        lane,
    }
}

fn row_case(name: String, row: &VerifyRow, phase: &Phase) -> Case {
    // A cell that cannot be read cannot have been carried out either.
    let is_prose = command::parse(&row.template).is_ok_and(|template| template.kind == command::Kind::Prose);
    Case {
        name,
        kind: CaseKind::Row,
        lane: row.lane.clone(),
        text: row.purpose.clone(),
        place: spot(&row.place),
        ticked: None,
        requirement: None,
        command_of: (!is_prose).then(|| row.id.clone()),
        binding: phase.row(&row.id).map_or_else(
            || CaseBinding::Unbound {
                next: format!("no check of this version answers {}; it was parsed, and not executed", row.id),
            },
            CaseBinding::Bound,
        ),
    }
}
