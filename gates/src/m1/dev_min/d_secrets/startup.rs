//! Nothing starts without its secret, and nothing takes another value instead.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::image::{Ended, ImageFacts, Invocation, Limits, Room};
use support::run::check::Check;
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};

use crate::m1::dev_min::b_entrypoints::{Bundle, Matrix, Start, idle};

/// Starts without secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Starts {
    pub image_id: String,
    pub starts: Vec<Without>,
    /// The variables that carry secrets.
    pub variables: BTreeSet<String>,
    /// Modules that the bundle names and the matrix does not have.
    pub unknown: Vec<String>,
}

/// One start without its secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Without {
    pub module: String,
    pub needs: Vec<String>,
    pub start: Start,
    /// The variables that its output names.
    pub named: BTreeSet<String>,
}

pub(super) static STARTUP: Check<Starts> = Check::<Starts>::derived(
    "startup.fails_closed",
    "startup",
    &["starts"],
    |starts| {
        ensure!(!starts.starts.is_empty(), "no entrypoint was started without its secret");
        ensure!(starts.unknown.is_empty(), "the matrix does not have {}", starts.unknown.join(", "));
        let needed: BTreeSet<&String> = starts.starts.iter().flat_map(|start| &start.needs).collect();
        let unproven: Vec<&str> = starts.variables.iter().filter(|v| !needed.contains(v)).map(String::as_str).collect();
        ensure!(unproven.is_empty(), "no entrypoint shows that it cannot start without {}", unproven.join(", "));
        for without in &starts.starts {
            let Without { module, needs, start, named } = without;
            match &start.ended {
                Ended::Exited { code: 0 } => return Err(format!("{module} starts without {}", needs.join(", ")).into()),
                Ended::Exited { .. } => {}
                Ended::TimedOut { .. } | Ended::NotStarted { .. } => {
                    return Err(format!("{module}: {}", start.fault().unwrap_or_default()).into());
                }
            }
            ensure!(
                needs.iter().any(|variable| named.contains(variable)),
                "{module} fails without {}, and does not say that this is why",
                needs.join(", ")
            );
        }
        Ok(format!("{} entrypoints refuse to start without their secrets, and say which", starts.starts.len()))
    },
    |starts| {
        for without in &mut starts.starts {
            without.start.ended = Ended::Exited { code: 0 };
        }
    },
)
.next("make the entrypoint end with an error that names the missing variable, and give it no default");

pub(super) fn observe(run: &mut LaneRun<'_>, image: &ImageFacts, matrix: &Matrix, bundle: &Bundle) -> Step {
    let mut invocations = Vec::new();
    let mut asked = Vec::new();
    let mut unknown = Vec::new();
    for startup in &bundle.startup {
        let Some(row) = matrix.rows.iter().find(|row| row.module == startup.module) else {
            unknown.push(startup.module.clone());
            continue;
        };
        let name = format!("{} without {}", row.module, startup.needs.join(", "));
        // It must not get so far as to listen.
        invocations.push(Invocation { name, argv: bundle.without_secret(row), listens: false });
        asked.push(startup);
    }
    let room = Room { image: &image.id, idle: idle(), files: &bundle.files };
    let call = format!("docker run --network none {}", image.id);
    let invoked = match run.images()?.engine().invoke(&room, &invocations, &Limits::default()) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("starts", &call, error)),
    };
    if invoked.len() != asked.len() {
        return Err(Stop::Fault("not every start came to an end".to_owned()));
    }
    let starts = asked
        .into_iter()
        .zip(&invoked)
        .map(|(startup, invoked)| Without {
            module: startup.module.clone(),
            needs: startup.needs.clone(),
            start: Start::of(invoked),
            named: startup
                .needs
                .iter()
                .filter(|v| invoked.stderr.contains(*v) || invoked.stdout.contains(*v))
                .cloned()
                .collect(),
        })
        .collect();
    let variables = bundle.secrets.values().cloned().collect();
    run.observe("starts", &call, &Starts { image_id: image.id.clone(), starts, variables, unknown })
}
