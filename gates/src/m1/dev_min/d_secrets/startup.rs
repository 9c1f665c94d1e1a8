//! Nothing starts without its secret, and nothing takes another value instead.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::image::{Ended, ImageFacts, Invocation, Limits, Room};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};

use super::roles::few;
use crate::m1::dev_min::b_entrypoints::{Bundle, Matrix, PYTHON, Start};

/// What stands for a secret that a start is given; it opens no door.
const DUMMY: &str = "made-up";

/// Starts without secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Starts {
    pub image_id: String,
    pub starts: Vec<Without>,
    /// Each of those entrypoints with all that it needs.
    pub complete: Vec<Complete>,
    /// Modules of the matrix of which the bundle does not say what they need.
    pub unsaid: Vec<String>,
    /// The variables that carry secrets.
    pub variables: BTreeSet<String>,
    /// Modules that the bundle names and the matrix does not have.
    pub unknown: Vec<String>,
    /// Those of the variables that the image sets itself: without them nothing can be started.
    pub baked: BTreeSet<String>,
}

/// One start in which no secret is missing; what it opens is another matter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Complete {
    pub module: String,
    pub start: Start,
    /// The variables that its output names all the same.
    pub named: BTreeSet<String>,
}

/// One start in which one secret is missing, and no other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Without {
    pub module: String,
    /// The variable that is missing.
    pub variable: String,
    /// It is there, and empty.
    pub empty: bool,
    pub start: Start,
    /// Its output names the variable, as a word.
    pub named: bool,
}

pub(super) static STARTUP: Check<Starts> = Check::<Starts>::derived(
    "startup.fails_closed",
    "startup",
    &["starts"],
    |starts| {
        ensure!(!starts.starts.is_empty(), "no entrypoint was started without its secret");
        if let Some(variable) = starts.baked.first() {
            let why = format!("the image sets {variable}, so that nothing can be started without it");
            return Err(Unmet::blocked_by("PG-M1.D-env_secret", why));
        }
        if !starts.unknown.is_empty() {
            let why = format!("the matrix does not have {}, which the bundle starts", starts.unknown.join(", "));
            let next = "name in each [[startup]] of the bundle's arguments.toml a module of M1.B's matrix, or give the module its row there";
            return Err(Unmet::from(why).next(next));
        }
        if !starts.unsaid.is_empty() {
            let why = format!("the bundle does not say which secrets {} need", few(&starts.unsaid));
            let next = "give each module of the matrix a [[startup]] in the bundle's arguments.toml, with `needs = []` for none";
            return Err(Unmet::from(why).next(next));
        }
        let tried: BTreeSet<&String> = starts.starts.iter().map(|start| &start.variable).collect();
        let unproven: Vec<&str> = starts.variables.iter().filter(|v| !tried.contains(v)).map(String::as_str).collect();
        ensure!(unproven.is_empty(), "no entrypoint shows that it cannot start without {}", unproven.join(", "));
        // What fails in any case, with the variable's name in its last words, fails for another reason.
        for Complete { module, start, named } in &starts.complete {
            if let Ended::NotStarted { .. } = start.ended {
                return Err(format!("{module} with all its secrets: {}", start.fault().unwrap_or_default()).into());
            }
            let named: Vec<String> = named.iter().cloned().collect();
            ensure!(
                named.is_empty(),
                "{module} has all its secrets and speaks of {}, so what it says without one proves nothing",
                few(&named)
            );
        }
        for Without { module, .. } in &starts.starts {
            let is_complete = starts.complete.iter().any(|complete| complete.module == *module);
            ensure!(is_complete, "{module} was not started with all its secrets");
        }
        for without in &starts.starts {
            let Without { module, variable, empty, start, named } = without;
            let how = if *empty { format!("with an empty {variable}") } else { format!("without {variable}") };
            match &start.ended {
                Ended::Exited { code: 0 } => return Err(format!("{module} starts {how}").into()),
                Ended::Exited { .. } => {}
                Ended::TimedOut { .. } | Ended::NotStarted { .. } => {
                    return Err(format!("{module} {how}: {}", start.fault().unwrap_or_default()).into());
                }
            }
            ensure!(named, "{module} fails {how}, and does not say that this is why");
        }
        Ok(format!(
            "{} starts, each with one secret left out or empty: none comes up, and each says which",
            starts.starts.len()
        ))
    },
    |starts| {
        for without in &mut starts.starts {
            without.start.ended = Ended::Exited { code: 0 };
        }
    },
)
.next("make the entrypoint end with an error that names the missing variable, and give it no default");

pub(super) fn observe(run: &mut LaneRun<'_>, image: &ImageFacts, matrix: &Matrix, bundle: &Bundle) -> Step {
    let (mut invocations, mut with_all) = (Vec::new(), Vec::new());
    let mut asked: Vec<(&str, &str, bool)> = Vec::new();
    let mut unknown = Vec::new();
    let mut complete: Vec<(&str, &[String])> = Vec::new();
    for startup in &bundle.startup {
        let Some(row) = matrix.rows.iter().find(|row| row.module == startup.module) else {
            unknown.push(startup.module.clone());
            continue;
        };
        if !startup.needs.is_empty() {
            let env = startup.needs.iter().map(|variable| (variable.clone(), DUMMY.to_owned())).collect();
            let name = format!("{} with all its secrets", row.module);
            with_all.push(Invocation { name, argv: bundle.without_secret(row), env, listens: false });
            complete.push((&startup.module, &startup.needs));
        }
        for (variable, empty) in startup.needs.iter().flat_map(|variable| [(variable, false), (variable, true)]) {
            let name = format!("{} {} {variable}", row.module, if empty { "with an empty" } else { "without" });
            // It must not get so far as to listen.
            let argv = bundle.without_secret(row);
            invocations.push(Invocation { name, argv, env: but_for(&startup.needs, variable, empty), listens: false });
            asked.push((&startup.module, variable, empty));
        }
    }
    invocations.extend(with_all);
    let room = Room { image: &image.id, python: PYTHON, files: &bundle.files };
    let call = format!("docker run --network none {}", image.id);
    let invoked = match run.images()?.engine().invoke(&room, &invocations, &Limits::default()) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("starts", &call, error)),
    };
    if invoked.len() != asked.len() + complete.len() {
        return Err(Stop::Fault("not every start came to an end".to_owned()));
    }
    let (invoked, whole) = invoked.split_at(asked.len());
    let complete = complete
        .into_iter()
        .zip(whole)
        .map(|((module, needs), invoked)| {
            let says = |variable: &&String| has_word(&invoked.stderr, variable) || has_word(&invoked.stdout, variable);
            let named = needs.iter().filter(says).cloned().collect();
            Complete { module: module.to_owned(), start: Start::of(invoked), named }
        })
        .collect();
    let said = |module: &str| bundle.startup.iter().any(|startup| startup.module == module);
    let unsaid = matrix.rows.iter().map(|row| &row.module).filter(|module| !said(module)).cloned().collect();
    let starts = asked
        .into_iter()
        .zip(invoked)
        .map(|((module, variable, empty), invoked)| Without {
            module: module.to_owned(),
            variable: variable.to_owned(),
            empty,
            start: Start::of(invoked),
            named: has_word(&invoked.stderr, variable) || has_word(&invoked.stdout, variable),
        })
        .collect();
    let variables: BTreeSet<String> = bundle.secrets.values().cloned().collect();
    let baked = image.env.keys().filter(|name| variables.contains(*name)).cloned().collect();
    run.observe(
        "starts",
        &call,
        &Starts { image_id: image.id.clone(), starts, complete, unsaid, variables, unknown, baked },
    )
}

/// The variables of a start: a dummy for each of `needs` but `missing`, which is empty or not there.
fn but_for(needs: &[String], missing: &str, empty: bool) -> BTreeMap<String, String> {
    let others = needs.iter().filter(|variable| *variable != missing).map(|variable| (variable.as_str(), DUMMY));
    let variables = others.chain(empty.then_some((missing, "")));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether `name` stands in `text` by itself, and not as a part of a longer name.
fn has_word(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|after| after.chars().next());
        !name.is_empty() && !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variable_is_missing_and_the_others_are_made_up() {
        let needs = ["DB_USER".to_owned(), "DB_PASSWORD".to_owned()];
        let env = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(but_for(&needs, "DB_USER", false), env(&[("DB_PASSWORD", "made-up")]));
        assert_eq!(but_for(&needs, "DB_USER", true), env(&[("DB_PASSWORD", "made-up"), ("DB_USER", "")]));
    }

    #[test]
    fn a_part_of_a_longer_name_names_nothing() {
        for (text, named) in [
            ("missing secret DB_USER", true),
            ("`DB_USER`: not set", true),
            ("DB_USERNAME is not set", false),
            ("OLD_DB_USER is not set", false),
            ("OLD_DB_USER, DB_USER", true),
            ("", false),
        ] {
            assert_eq!(has_word(text, "DB_USER"), named, "{text}");
        }
        assert!(!has_word("x", ""));
    }
}
