//! M3.H: what M3 may spend, what was spent, and what it was spent on.

mod cause;
mod chain;
mod envelope;
mod handles;
mod money;
mod receipt;
mod sources;

use bigdecimal::BigDecimal;
use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check, Judged, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::Publication;
use support::run::rows::RowOutput;

use self::chain::GREEN;
use self::envelope::{ENVELOPE, Envelope, m3_window, source_window};
use self::handles::{AWS, Budget, CostHandles, DATABRICKS, HARD_STOP, PINNED, POSTURE_PATH, RECEIPT_PATH};
use self::money::{Billed, Money, ONE_CURRENCY, Spend};
use self::receipt::{Draft, PROVEN, Proof, RECEIPT};
use self::sources::{AWS_BILL, DATABRICKS_BILL, Databricks, Windows};
use super::a_handle_closure::command_receipts;
use super::lane_files::{self, LANE_FILES, LaneFiles};

const HANDLE_CLOSURE: &str = "M3H-V1-HANDLE-CLOSURE";
const AWS_COST_SOURCE: &str = "M3H-V3-AWS-COST-SOURCE";
const DURABLE_PUBLISH: &str = "M3H-V7-DURABLE-PUBLISH";

/// Where Databricks' bill lies, by registry or environment.
const DATABRICKS_SOURCE: &str = "M3H_DATABRICKS_COST_SOURCE_URI";

/// The lanes that M3.H pays for.
const UPSTREAM: [&str; 7] = ["M3.A", "M3.B", "M3.C", "M3.D", "M3.E", "M3.F", "M3.G"];

/// What M3 closes.
const PHASE_ID: &str = "P1";

const POSTURE: &str = "m3h_daily_cost_posture.json";
const SOURCES: &str = "m3h_cost_source_receipts.json";
const SUMMARY: &str = "m3h_execution_summary.json";

static PUBLISHED: Check<(LaneFiles, Proof)> = Check::<(LaneFiles, Proof)>::new(
    "m3h.published",
    "M3H-B8",
    &[LANE_FILES, "receipt_proof"],
    |(files, proof)| complete(files, proof),
    |(files, _)| lane_files::lose(files),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

/// Met when every file of the plan's contract is in the store. Why envelope or receipt were not made has a code of
/// its own.
fn complete(files: &LaneFiles, proof: &Proof) -> Judged {
    if files.planned.is_empty() {
        return Err("the plan has no evidence contract for M3.H".into());
    }
    for publication in files.left.values() {
        publication.durable(None)?;
    }
    if let Some(name) = files.planned.iter().find(|name| !files.left.contains_key(*name)) {
        return Err(match proof {
            Proof::NotPut { by } if name == RECEIPT || name == ENVELOPE => {
                cause::blocked(by, format!("{name} was not made"))
            }
            _ => Unmet::from(format!("{name} was not published")),
        });
    }
    Ok(format!("{} file(s) of the evidence contract: {}", files.planned.len(), files.planned.join(", ")))
}

/// What must be met before a receipt is made, in the order in which one explains the other.
fn before_the_receipt() -> [&'static dyn AnyCheck; 7] {
    [&PINNED, &HARD_STOP, &GREEN, &AWS_BILL, &DATABRICKS_BILL, &envelope::COMPLETE, &ONE_CURRENCY]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.H", execute)
        .after("M3.G")
        .may_be_given(DATABRICKS_SOURCE)
        .publishes(publish)
        .proves("the budget's envelope is in the store; every bill in scope was read; the receipt sets them against evidence that reads back")
        .checks(before_the_receipt())
        .checks([&receipt::COMPLETE as &dyn AnyCheck, &PUBLISHED, &PROVEN])
        .row(HANDLE_CLOSURE, [PINNED.holds()])
        .row("M3H-V2-UPSTREAM-PASS", [GREEN.holds()])
        .row(AWS_COST_SOURCE, [AWS_BILL.holds()])
        .row("M3H-V4-DBX-COST-SOURCE", [DATABRICKS_BILL.holds()])
        .row("M3H-V5-ENVELOPE-BUILD", [envelope::COMPLETE.holds()])
        .row("M3H-V6-OUTCOME-BUILD", [ONE_CURRENCY.holds(), receipt::COMPLETE.holds()])
        .row(DURABLE_PUBLISH, [PUBLISHED.holds()])
        .requirement("budget-envelope", [envelope::COMPLETE.holds()])
        .requirement("outcome-receipt", [receipt::COMPLETE.holds(), PROVEN.holds()])
        .requirement("spend-without-proof", [HARD_STOP.holds(), PROVEN.refusal()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    run.row(HANDLE_CLOSURE)?;
    let handles = CostHandles::read(run);
    run.observe("cost_handles", "the registry", &handles)?;
    let windows = Windows::of(run)?;
    run.observe("windows", "the execution's instant, and that of M3's first lane", &windows)?;
    run.demand(&PINNED)?;
    run.demand(&HARD_STOP)?;
    let chain = chain::chain(run)?;
    run.observe("upstream", "the lanes' summaries, and their observations judged again", &chain)?;
    run.demand(&GREEN)?;
    let budget = handles.understood().map_err(Stop::Fault)?;
    // A source that says nothing is the finding of its own check; the other one is asked all the same.
    let window = [("month_start", windows.first_day.as_str()), ("tomorrow", windows.until_day.as_str())];
    match run.row_with(AWS_COST_SOURCE, &window) {
        Err(stop) if !run.gave_no_answer(AWS_COST_SOURCE) => return Err(stop),
        Err(_) | Ok(_) => {}
    }
    sources::ask_databricks(run, budget.databricks)?;
    let spend = spend(run, &budget, &windows);
    run.observe("spend", "the bills of all sources in scope, in the budget's currency", &spend)
}

/// What the sources in scope billed.
fn spend(run: &LaneRun<'_>, budget: &Budget, windows: &Windows) -> Spend {
    let aws = run.fact::<RowOutput>(AWS_COST_SOURCE).ok().and_then(|row| sources::aws_bill(&row, windows).ok());
    let mut bills = vec![(AWS, aws.ok_or("M3H-B3"))];
    if budget.databricks {
        let bill = run.fact::<Databricks>("databricks").ok();
        let bill = bill.and_then(|found| sources::databricks_bill(&found, windows).ok().flatten());
        bills.push((DATABRICKS, bill.ok_or("M3H-B4")));
    }
    let billed = bills
        .into_iter()
        .map(|(source, money)| Billed {
            source: source.to_owned(),
            rate: money
                .as_ref()
                .ok()
                .and_then(|money: &Money| money::rate(run.handles(), &money.currency, &budget.currency)),
            money: money.map_err(str::to_owned),
        })
        .collect();
    Spend::new(&budget.currency, billed)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let handles: CostHandles = run.fact("cost_handles")?;
    let windows: Windows = run.fact("windows")?;
    let budget = handles.understood();
    let spend = run.fact::<Spend>("spend");
    let mut files = LaneFiles::planned(run, "M3.H");
    // The envelope first: nobody judges a receipt before there is one.
    leave_envelope(run, &mut files, &handles, &budget, &windows)?;
    let receipts = source_receipts(run, &windows, spend.as_ref().ok());
    files.leave_by_row(run, DURABLE_PUBLISH, SOURCES, receipts)?;
    leave_receipt(run, &mut files, spend.as_ref(), &windows)?;
    let posture = posture(run, &handles, budget.as_ref().ok(), spend.as_ref().ok(), &windows);
    files.leave_by_row(run, DURABLE_PUBLISH, POSTURE, posture)?;
    let mut checks: Vec<&'static dyn AnyCheck> = before_the_receipt().to_vec();
    checks.extend([&receipt::COMPLETE as &dyn AnyCheck, &PROVEN]);
    let more = json!({ "m3_window": m3_window(&windows), "source_window": source_window(&windows) });
    let summary = lane_files::execution_summary(run, "M3.H", &checks, more);
    files.leave_by_row(run, DURABLE_PUBLISH, SUMMARY, summary)
}

fn leave_envelope(
    run: &mut LaneRun<'_>,
    files: &mut LaneFiles,
    handles: &CostHandles,
    budget: &Result<Budget, String>,
    windows: &Windows,
) -> Step {
    let mut left = Envelope::NotLeft { by: "M3H-B1".to_owned() };
    if let Ok(budget) = budget {
        let document = envelope::envelope(run, handles, budget, windows);
        files.leave_by_row(run, DURABLE_PUBLISH, ENVELOPE, document)?;
        left = match files.left.get(ENVELOPE) {
            Some(Publication::Published { .. }) => Envelope::Left { document: run.left_by("M3.H", ENVELOPE) },
            _ => Envelope::NotLeft { by: "M3H-B8".to_owned() },
        };
    }
    run.observe("envelope", ENVELOPE, &left)
}

/// Makes the receipt and publishes it, unless something explains why there can be none.
fn leave_receipt(
    run: &mut LaneRun<'_>,
    files: &mut LaneFiles,
    spend: Result<&Spend, &Stop>,
    windows: &Windows,
) -> Step {
    let draft = match (cause::first_open(run, &before_the_receipt()), spend) {
        (Some(by), _) => Draft::Withheld { by },
        (None, Ok(spend)) => receipt::draft(run, spend, windows)?,
        (None, Err(stop)) => return Err(stop.clone()),
    };
    run.observe("receipt", RECEIPT, &draft)?;
    receipt::read_artifacts(run, &draft)?;
    let proof = match (cause::first_open(run, &[&receipt::COMPLETE]), draft) {
        // What kept the receipt from being made keeps it from the store.
        (_, Draft::Withheld { by }) => Proof::NotPut { by },
        (None, Draft::Made { document, .. }) => {
            files.leave_by_row(run, DURABLE_PUBLISH, RECEIPT, document)?;
            receipt::read_back(run, files.left.get(RECEIPT))?
        }
        (by, _) => Proof::NotPut { by: by.unwrap_or_else(|| "M3H-B6".to_owned()) },
    };
    run.observe("receipt_proof", "the receipt, as it stands in the store", &proof)
}

/// Who was asked what, and what came back.
fn source_receipts(run: &LaneRun<'_>, windows: &Windows, spend: Option<&Spend>) -> Value {
    let databricks = run.fact::<Databricks>("databricks").ok();
    json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "source_window": source_window(windows),
        "m3_window": m3_window(windows),
        "sources": spend.map(|spend| &spend.billed),
        "databricks_source": databricks.map(|found| found.pinned),
        "commands": command_receipts(run, &[HANDLE_CLOSURE, AWS_COST_SOURCE]),
    })
}

/// Where the month stands, against limit and alerts.
fn posture(
    run: &LaneRun<'_>,
    handles: &CostHandles,
    budget: Option<&Budget>,
    spend: Option<&Spend>,
    windows: &Windows,
) -> Value {
    let total = spend.and_then(|spend| spend.total.as_deref().ok());
    let amount = total.and_then(|total| money::decimal(total).ok());
    let held = |against: &BigDecimal| amount.as_ref().map(|amount| amount >= against);
    json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "day": run.instant().day(),
        "source_window": source_window(windows),
        "m3_window": m3_window(windows),
        "sources": spend.map(|spend| &spend.billed),
        "spend_amount": total,
        "spend_currency": budget.map(|budget| budget.currency.as_str()),
        "monthly_limit": budget.map(|budget| money::words(&budget.limit)),
        "limit_reached": budget.and_then(|budget| held(&budget.limit)),
        "alerts": budget.map(|budget| {
            let alerts = budget.alerts.iter();
            alerts.map(|alert| json!({ "at": money::words(alert), "reached": held(alert) })).collect::<Vec<_>>()
        }),
        "registry_path": handles.path(POSTURE_PATH),
        "registry_path_of_receipt": handles.path(RECEIPT_PATH),
        "overall_pass": run.met(&[&AWS_BILL, &DATABRICKS_BILL, &ONE_CURRENCY]),
    })
}
