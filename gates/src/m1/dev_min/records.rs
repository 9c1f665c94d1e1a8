//! What a lane of the plan writes down beside its boxes, where a box rests on it.

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::Check;
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Step;

/// The records that a lane must have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Records {
    lane: String,
    asked: Vec<Record>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// Words of its label.
    about: String,
    /// The lines of the lists under such a label, and how many entries each has with all that is below.
    lists: Vec<(usize, usize)>,
}

/// The check that they are there.
pub(super) const fn written(name: &'static str, code: &'static str) -> Check<Records> {
    Check::<Records>::derived(
        name,
        code,
        &["records"],
        |records| {
            let Records { lane, asked } = records;
            for Record { about, lists } in asked {
                ensure!(!lists.is_empty(), "{lane} writes down no `{about}`, which a box of it rests on");
                for (line, entries) in lists {
                    ensure!(*entries > 0, "line {line}: the `{about}` of {lane} says nothing");
                }
            }
            let named: Vec<&str> = asked.iter().map(|record| record.about.as_str()).collect();
            Ok(format!("{lane} writes down its {}", named.join(" and its ")))
        },
        |records| records.asked.iter_mut().for_each(|record| record.lists.clear()),
    )
    .basis(Basis::Documented)
    .next("write the record back into the plan, with what it asked; the gate asks it all the same, and nobody could read why")
}

/// Looks for the records of a lane.
pub(super) fn observe(run: &mut LaneRun<'_>, lane: &str, asked: &[&str]) -> Step {
    let lists = |about: &str| {
        let of_lane = run.plan().records_about(lane, about);
        of_lane.map(|r| (r.place.line, r.entries.iter().map(|e| 1 + e.all_below().len()).sum())).collect()
    };
    let asked = asked.iter().map(|about| Record { about: (*about).to_owned(), lists: lists(about) }).collect();
    run.observe("records", &format!("the plan's {lane}"), &Records { lane: lane.to_owned(), asked })
}
