//! M1.F: who builds. One driver is selected, and where the plan pins one as authoritative, it is that one.
//!
//! In the plan's earlier form M1.F is the review of readiness instead; its boxes are answered by the roll-up's checks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::outcome::RunBasis;

use super::i_readiness;

/// The handle; the environment may choose where the registry leaves it open.
pub(super) const DRIVER: &str = "IMAGE_BUILD_DRIVER";

const NOT_SELECTED: &str = "PG-M1.F-driver_selected";

/// Who may build, with the family of commands that each carries out.
const FAMILIES: [(&str, &str); 2] = [("github_actions", "github_actions_v0"), ("local_cli", "local_cli_v0")];

/// Who builds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Driver {
    /// What the registry pins, or why that is not one value.
    pub registry: Result<String, String>,
    /// What the environment chooses.
    pub chosen: Option<String>,
    /// What M1.F pins as authoritative, entry by entry; nothing where the plan has no such decision.
    pub authoritative: Option<BTreeSet<String>>,
    /// Who is at work now.
    pub at_work: String,
    /// Whether this run counts.
    pub live: bool,
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
            return Ok(format!("the plan pins no authoritative driver; {selected} is selected"));
        };
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
        .documents(read_documents)
        .asked_again()
        .may_be_given(DRIVER)
        .may_be_given("GITHUB_ACTIONS")
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
        at_work: if run.given("GITHUB_ACTIONS") == Some("true") { "github_actions" } else { "local_cli" }.to_owned(),
        live: run.basis() == RunBasis::Live,
    };
    run.observe("driver", &format!("{}, M1.F's decision, the environment", run.documents().registry_path), &driver)
}

fn execute(_run: &mut LaneRun<'_>) -> Step {
    Ok(())
}

/// The drivers in the first entry of M1.F's records that names any: the decision comes before what the others may do.
fn authoritative(run: &LaneRun<'_>) -> Option<BTreeSet<String>> {
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.F"));
    records
        .flat_map(|record| &record.entries)
        .map(|entry| {
            let below = entry.all_below();
            let spans = std::iter::once(entry).chain(below).flat_map(|entry| entry.code());
            spans.filter(|span| FAMILIES.iter().any(|(driver, _)| driver == span)).map(str::to_owned).collect()
        })
        .find(|named: &BTreeSet<String>| !named.is_empty())
}

/// The driver that is selected.
pub(super) fn accepted(run: &LaneRun<'_>) -> Result<Driver, Stop> {
    run.fact("M1.F/driver")
}
