//! M1.F: who builds. One driver is selected, and where the plan pins one as authoritative, it is that one.
//!
//! In the plan's earlier form M1.F is the review of readiness instead; its boxes are answered by the roll-up's checks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::plan::RecordEntry;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::outcome::RunBasis;

use super::{g_workflow, i_readiness, source};

/// The handle; the environment may choose where the registry leaves it open.
pub(super) const DRIVER: &str = "IMAGE_BUILD_DRIVER";

const NOT_SELECTED: &str = "PG-M1.F-driver_selected";

/// Who may build, with the family of commands that each carries out.
const FAMILIES: [(&str, &str); 2] = [(GITHUB, "github_actions_v0"), ("local_cli", "local_cli_v0")];

const GITHUB: &str = "github_actions";

/// Who builds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Driver {
    /// What the registry pins, or why that is not one value.
    pub registry: Result<String, String>,
    /// What the environment chooses.
    pub chosen: Option<String>,
    /// What M1.F's decision pins as authoritative; nothing where there is no such decision.
    pub authoritative: Option<BTreeSet<String>>,
    /// The plan has a workflow for its driver, and so must say which driver that is.
    pub must_be_pinned: bool,
    /// Who is at work now.
    pub at_work: String,
    /// Whether this run counts.
    pub live: bool,
    /// The run of GitHub Actions, where it says who it is.
    pub workflow_run: WorkflowRun,
}

/// What GitHub Actions says of the run at work.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct WorkflowRun {
    /// `GITHUB_RUN_ID`.
    pub id: Option<String>,
    /// `GITHUB_ACTOR`.
    pub actor: Option<String>,
    /// `GITHUB_WORKFLOW_REF`: the workflow's file, and at which commit.
    pub workflow: Option<String>,
    /// The workflows that M1.G pins.
    pub planned: BTreeSet<String>,
}

impl WorkflowRun {
    /// Why it is no run of the planned workflow.
    fn fault(&self) -> Option<String> {
        if self.id.is_none() || self.actor.is_none() {
            return Some("GITHUB_RUN_ID and GITHUB_ACTOR do not say which run it is and who started it".to_owned());
        }
        let file = self.workflow.as_deref().and_then(|name| name.split_once('@')).map_or("", |(file, _)| file);
        let is_planned = self.planned.iter().any(|path| file.ends_with(&format!("/{path}")));
        let planned: Vec<&str> = self.planned.iter().map(String::as_str).collect();
        (!is_planned).then(|| {
            let named = self.workflow.as_deref().unwrap_or("none");
            format!("GITHUB_WORKFLOW_REF names {named}, and M1.G pins {}", planned.join(", "))
        })
    }
}

impl Driver {
    /// The selected driver.
    pub(super) fn selected(&self) -> Option<&str> {
        self.chosen.as_deref().or(self.registry.as_deref().ok())
    }

    /// The family of commands that the selected driver carries out.
    pub(super) fn family(&self) -> Option<&'static str> {
        let selected = self.selected()?;
        FAMILIES.iter().find(|(driver, _)| *driver == selected).map(|(_, family)| *family)
    }
}

static SELECTED: Check<Driver> = Check::<Driver>::derived(
    "driver.selected",
    "driver_selected",
    &["driver"],
    |driver| {
        let selected = match (&driver.chosen, &driver.registry) {
            (Some(chosen), _) => chosen,
            (None, Ok(pinned)) => pinned,
            (None, Err(why)) => return Err(Unmet::from(why.clone())),
        };
        ensure!(driver.family().is_some(), "`{selected}` is no build driver that the plan knows");
        Ok(format!("{selected} builds"))
    },
    |driver| driver.chosen = Some("a_script".to_owned()),
)
.basis(Basis::Documented)
.next("keep one value of IMAGE_BUILD_DRIVER in the registry, or choose one: IMAGE_BUILD_DRIVER=github_actions");

static AUTHORITATIVE: Check<Driver> = Check::<Driver>::derived(
    "driver.authoritative",
    "driver_authority",
    &["driver"],
    |driver| {
        let Some(selected) = driver.selected() else {
            return Err(Unmet::blocked_by(NOT_SELECTED, "no driver is selected"));
        };
        if driver.family().is_none() {
            return Err(Unmet::blocked_by(NOT_SELECTED, "no driver that the plan knows is selected"));
        }
        let Some(pinned) = &driver.authoritative else {
            ensure!(
                !driver.must_be_pinned,
                "the plan has a workflow for its build driver (M1.G), and no decision of M1.F says `Authoritative driver`"
            );
            return Ok(format!("the plan pins no authoritative driver; {selected} is selected"));
        };
        if let (Some(chosen), Ok(registry)) = (&driver.chosen, &driver.registry) {
            ensure!(
                chosen == registry,
                "the registry pins {registry} as {DRIVER}, and the environment chooses {chosen}"
            );
        }
        let named: Vec<&str> = pinned.iter().map(String::as_str).collect();
        ensure!(
            pinned.len() == 1,
            "M1.F's decision names {} authoritative drivers: {}",
            pinned.len(),
            named.join(", ")
        );
        ensure!(
            pinned.contains(selected),
            "M1.F pins {} as authoritative, and {selected} is selected: what it builds closes nothing",
            named.join(", ")
        );
        Ok(format!("{selected}, as M1.F pins it"))
    },
    |driver| driver.authoritative = Some(BTreeSet::from(["doctored".to_owned()])),
)
.basis(Basis::Documented)
.next("select the driver that M1.F pins, or pin another there first");

static AT_WORK: Check<Driver> = Check::<Driver>::derived(
    "driver.at_work",
    "driver_at_work",
    &["driver"],
    |driver| {
        let Some(selected) = driver.selected() else {
            return Err(Unmet::blocked_by(NOT_SELECTED, "no driver is selected"));
        };
        ensure!(!driver.at_work.is_empty(), "nobody knows who is at work");
        if !driver.live {
            return Ok(format!("{selected}'s steps are rehearsed by {}; a rehearsal closes nothing", driver.at_work));
        }
        ensure!(driver.at_work == selected, "{selected} is selected, and {} is at work", driver.at_work);
        if selected == GITHUB
            && let Some(why) = driver.workflow_run.fault()
        {
            return Err(Unmet::from(why));
        }
        Ok(format!("{selected} is selected and at work"))
    },
    |driver| {
        driver.live = true;
        driver.at_work = "doctored".to_owned();
    },
)
.next("run the packaging workflow of GitHub Actions, or select local_cli where the plan allows it");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.F", execute)
        .rests_on("driver authority decision")
        .documents(read_documents)
        .asked_again()
        .may_be_given(DRIVER)
        .may_be_given("GITHUB_ACTIONS")
        .may_be_given("GITHUB_WORKFLOW_REF")
        .proves("one driver is selected, the one that the plan pins, and in a live run it is the one at work")
        .checks([&SELECTED as &dyn AnyCheck, &AUTHORITATIVE, &AT_WORK])
        .requirement("driver-pinned", [SELECTED.holds(), AUTHORITATIVE.holds()])
        .requirement("driver-posture", [AUTHORITATIVE.holds(), AUTHORITATIVE.refusal(), AT_WORK.refusal()])
        .requirement("build-go-blocked", [SELECTED.holds(), SELECTED.refusal(), AT_WORK.holds()])
        .requirement("deliverables-complete", i_readiness::deliverables())
        .requirement("no-ambiguity", i_readiness::unambiguous())
        .requirement("handoff-prepared", i_readiness::handoff())
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&SELECTED, &AUTHORITATIVE]
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let registry = run.handles().resolve(DRIVER).map_err(|error| error.to_string()).and_then(|resolved| {
        let text = resolved.text().map(str::to_owned);
        text.map_err(|error| error.to_string())
    });
    let driver = Driver {
        registry,
        chosen: run.given(DRIVER).map(str::to_owned),
        authoritative: authoritative(run),
        must_be_pinned: run.plan().lanes.iter().any(|lane| lane.id == g_workflow::LANE),
        at_work: if run.given("GITHUB_ACTIONS") == Some("true") { GITHUB } else { "local_cli" }.to_owned(),
        live: run.basis() == RunBasis::Live,
        workflow_run: WorkflowRun {
            id: run.given("GITHUB_RUN_ID").map(str::to_owned),
            actor: run.given("GITHUB_ACTOR").map(str::to_owned),
            workflow: run.given("GITHUB_WORKFLOW_REF").map(str::to_owned),
            planned: source::workflows(run, g_workflow::LANE),
        },
    };
    run.observe("driver", &format!("{}, M1.F's decision, the environment", run.documents().registry_path), &driver)
}

fn execute(_run: &mut LaneRun<'_>) -> Step {
    Ok(())
}

/// The drivers below `Authoritative driver …`, the entry of M1.F's records that decides.
fn authoritative(run: &LaneRun<'_>) -> Option<BTreeSet<String>> {
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.F"));
    let says = |entry: &&RecordEntry| entry.text.trim_start().to_ascii_lowercase().starts_with("authoritative driver");
    let decisions: Vec<&RecordEntry> = records.flat_map(|record| &record.entries).filter(says).collect();
    let spans = |entry: &&RecordEntry| {
        let below = entry.all_below();
        let all = std::iter::once(*entry).chain(below).flat_map(RecordEntry::code);
        all.filter(|span| FAMILIES.iter().any(|(driver, _)| driver == span)).map(str::to_owned).collect::<Vec<_>>()
    };
    (!decisions.is_empty()).then(|| decisions.iter().flat_map(spans).collect())
}

/// The driver that is selected.
pub(super) fn accepted(run: &LaneRun<'_>) -> Result<Driver, Stop> {
    run.fact("M1.F/driver")
}
