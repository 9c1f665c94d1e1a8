//! What each role may do, by IAM's own simulation: the secrets and prefixes of what it runs, and nothing beside them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::{PolicyDecision, Simulated};

use super::roles::{EXECUTION, Identities};
use crate::m4::dev_min::{a_handle_closure, packs};

/// The calls by which a task reads a parameter that it knows; one of them is enough.
const READS: [&str; 2] = ["ssm:GetParameter", "ssm:GetParameters"];

/// Other calls that show parameters, or change them: no daemon needs one.
const OTHER_ON_SECRETS: [&str; 5] = [
    "ssm:GetParameterHistory",
    "ssm:GetParametersByPath",
    "ssm:PutParameter",
    "ssm:DeleteParameter",
    "ssm:LabelParameterVersion",
];

const PUT: &str = "s3:PutObject";
const GET: &str = "s3:GetObject";

/// Calls that take objects away.
const TAKE_AWAY: [&str; 2] = ["s3:DeleteObject", "s3:DeleteObjectVersion"];

/// Calls by which a role could give itself more.
const ADMINISTER: [&str; 3] = ["iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PassRole"];

/// What an execution role is for.
const PULL: [&str; 2] = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
const LOG: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// The secrets of Kafka, of the database, and of the gate's own key, by handle.
const KAFKA: [&str; 3] =
    ["SSM_CONFLUENT_BOOTSTRAP_PATH", "SSM_CONFLUENT_API_KEY_PATH", "SSM_CONFLUENT_API_SECRET_PATH"];
const DATABASE: [&str; 2] = ["SSM_DB_USER_PATH", "SSM_DB_PASSWORD_PATH"];
const IG_KEY: &str = "SSM_IG_API_KEY_PATH";

/// A bucket, and the pattern of the prefix that a run has in it.
pub(in crate::m4::dev_min) type Prefix = (&'static str, &'static str);

const EVIDENCE: Prefix = ("S3_EVIDENCE_BUCKET", "S3_EVIDENCE_RUN_ROOT_PATTERN");
const QUARANTINE: Prefix = ("S3_QUARANTINE_BUCKET", "S3_QUARANTINE_RUN_PREFIX_PATTERN");
const ARCHIVE: Prefix = ("S3_ARCHIVE_BUCKET", "S3_ARCHIVE_RUN_PREFIX_PATTERN");
const ORACLE: Prefix = ("S3_ORACLE_BUCKET", "S3_ORACLE_RUN_PREFIX_PATTERN");
pub(in crate::m4::dev_min) const PREFIXES: [Prefix; 4] = [EVIDENCE, QUARANTINE, ARCHIVE, ORACLE];

/// Where phasegate's own verdicts lie, in the evidence bucket: whom they judge must not write there.
const RUN_CONTROL: &str = "the control evidence";

/// What a service of the runbook's appendix C must be able to do.
struct Needs {
    secrets: Vec<&'static str>,
    puts: Vec<Prefix>,
}

/// Appendix C of the runbook, service by service. Who checks conformance writes its finding, and needs no secret.
fn needs(service: &str) -> Needs {
    let (secrets, puts): (Vec<&[&str]>, &[Prefix]) = match service {
        "SVC_IG" => (vec![&KAFKA, &[IG_KEY]], &[EVIDENCE, QUARANTINE]),
        "SVC_ENV_CONFORMANCE" => (Vec::new(), &[EVIDENCE]),
        service if service.starts_with("SVC_RTDL_CORE_") => (vec![&KAFKA, &DATABASE], &[EVIDENCE, ARCHIVE]),
        _ => (vec![&KAFKA, &DATABASE], &[EVIDENCE]),
    };
    Needs { secrets: secrets.concat(), puts: puts.to_vec() }
}

/// What the roles may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rights {
    /// By the role's handle.
    roles: BTreeMap<String, Vec<Right>>,
    /// The handles without a value, each with the reason: nothing can be asked about them.
    unresolved: Vec<String>,
}

/// One decision, by the handle or the name of what it is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Right {
    about: String,
    simulated: Simulated,
}

impl Rights {
    /// How many decisions were asked for.
    pub(super) fn count(&self) -> usize {
        self.roles.values().map(Vec::len).sum()
    }
}

/// What is allowed or asked: a call, and what it is about.
type Pairs<'a> = BTreeSet<(&'a str, &'a str)>;

pub(super) static LEAST_ACCESS: Check<(Identities, Rights)> = Check::<(Identities, Rights)>::new(
    "identities.least_access",
    "M4C-B2",
    &["identities", "rights"],
    |(identities, rights)| {
        if let Some(why) = rights.unresolved.first() {
            let next = "pin the handle's value in the registry; without it nobody can tell who may read or write what it names";
            return Err(Unmet::from(why.clone()).next(next));
        }
        for handle in identities.roles.keys().map(String::as_str).chain([EXECUTION]) {
            // A role that is not there is said elsewhere.
            let Some(decided) = rights.roles.get(handle) else { continue };
            if let Some(open) = decided.iter().find(|right| !right.simulated.missing_context.is_empty()) {
                return Err(Unmet::from(format!(
                    "{handle}: {} on {} depends on {}, and what is not given proves nothing",
                    open.simulated.action,
                    open.about,
                    open.simulated.missing_context.join(", ")
                )));
            }
            let allowed = decided.iter().filter(|right| right.simulated.decision == PolicyDecision::Allowed);
            let may: Pairs<'_> = allowed.map(|right| (right.simulated.action.as_str(), right.about.as_str())).collect();
            let must = needed(handle, identities);
            let less: Vec<_> = must.iter().filter(|pair| !can(&may, pair)).collect();
            ensure!(less.is_empty(), "{handle} may not {}, which what it runs needs", words(&less));
            let more: Vec<_> = may.iter().filter(|pair| !is_needed(&must, pair)).collect();
            ensure!(more.is_empty(), "{handle} may {}, which nothing that it runs needs", words(&more));
        }
        ensure!(!rights.roles.is_empty(), "the access of no role was simulated");
        Ok(format!("{} decisions of IAM: each role may do what its services need, and no more", rights.count()))
    },
    |(_, rights)| {
        rights.unresolved.clear();
        for right in rights.roles.values_mut().flatten() {
            right.simulated.decision = PolicyDecision::Allowed;
        }
    },
)
.next("narrow, or widen, the role's policies to what appendix C of the runbook gives the services that it runs");

fn words(pairs: &[&(&str, &str)]) -> String {
    pairs.iter().map(|(action, about)| format!("{action} on {about}")).collect::<Vec<_>>().join(", ")
}

/// Whether what must be done can be: a parameter is read by one call or by the other.
fn can(may: &Pairs<'_>, (action, about): &(&str, &str)) -> bool {
    if READS.contains(action) {
        return READS.iter().any(|read| may.contains(&(*read, *about)));
    }
    may.contains(&(*action, *about))
}

/// Whether what may be done must be: also what reads the same parameter, or reads back what may be written.
fn is_needed(must: &Pairs<'_>, (action, about): &(&str, &str)) -> bool {
    must.contains(&(*action, *about))
        || (READS.contains(action) && READS.iter().any(|read| must.contains(&(*read, *about))))
        || (*action == GET && must.contains(&(PUT, *about)))
}

/// What a role must be able to do: what all services need that run as it.
fn needed<'a>(handle: &str, identities: &Identities) -> Pairs<'a> {
    if handle == EXECUTION {
        return PULL
            .iter()
            .map(|action| (*action, REPOSITORY))
            .chain(LOG.iter().map(|action| (*action, LOGS)))
            .collect();
    }
    let mut must = Pairs::new();
    for service in packs::services() {
        if identities.services.get(service).and_then(super::roles::Binding::role) == Some(handle) {
            let Needs { secrets, puts } = needs(service);
            must.extend(secrets.into_iter().map(|secret| (READS[0], secret)));
            must.extend(puts.into_iter().map(|(bucket, _)| (PUT, bucket)));
        }
    }
    must
}

/// What an execution role is asked about.
const REPOSITORY: &str = "ECR_REPO_NAME";
const LOGS: &str = "CLOUDWATCH_LOG_GROUP_PREFIX";

/// What is asked about: calls, and the ARNs with the handle or name that each stands for.
type Question = (Vec<&'static str>, BTreeMap<String, &'static str>);

/// By service: the paths of the parameters that it needs, by handle.
pub(in crate::m4::dev_min) fn secrets_by_service(
    run: &LaneRun<'_>,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Stop> {
    let mut all = BTreeMap::new();
    for service in packs::services() {
        let mut paths = BTreeMap::new();
        for handle in needs(service).secrets {
            paths.insert(handle.to_owned(), run.text(handle)?);
        }
        all.insert(service.to_owned(), paths);
    }
    Ok(all)
}

pub(super) fn observe(run: &mut LaneRun<'_>, identities: &Identities) -> Step {
    let mut rights = Rights { roles: BTreeMap::new(), unresolved: Vec::new() };
    let questions = questions(run, &mut rights.unresolved)?;
    let execution = identities.execution.iter().map(|role| (EXECUTION.to_owned(), role.clone()));
    let roles: Vec<_> = identities.roles.clone().into_iter().chain(execution).collect();
    for (handle, role) in roles {
        let Some(arn) = role.arn else { continue };
        let mut decided = Vec::new();
        for (actions, resources) in &questions {
            let arns: Vec<&str> = resources.keys().map(String::as_str).collect();
            if arns.is_empty() {
                continue;
            }
            let call = format!("aws iam simulate-principal-policy --policy-source-arn {arn}");
            match run.world()?.substrate.iam().simulate(&arn, actions, &arns) {
                Ok(reply) => decided.extend(reply.value.into_iter().map(|simulated| {
                    let about = resources.get(&simulated.resource).copied().unwrap_or("-").to_owned();
                    Right { about, simulated }
                })),
                Err(error) => return Err(run.unanswered("rights", &call, error)),
            }
        }
        rights.roles.insert(handle, decided);
    }
    run.observe("rights", "aws iam simulate-principal-policy of each role", &rights)
}

fn questions(run: &LaneRun<'_>, unresolved: &mut Vec<String>) -> Result<Vec<Question>, Stop> {
    let id = a_handle_closure::accepted(run)?.platform_run_id().unwrap_or_default();
    let (region, account) = (run.world()?.substrate.region().to_owned(), run.world()?.account.clone());
    let mut text = |handle: &str| match run.handles().resolve(handle).and_then(|it| it.text().map(str::to_owned)) {
        Ok(value) => Some(value),
        Err(error) => {
            unresolved.push(error.to_string());
            None
        }
    };
    let mut secrets = BTreeMap::new();
    for handle in KAFKA.into_iter().chain(DATABASE).chain([IG_KEY]) {
        if let Some(path) = text(handle) {
            secrets.insert(format!("arn:aws:ssm:{region}:{account}:parameter{path}"), handle);
        }
    }
    let mut objects = BTreeMap::new();
    for (bucket_handle, pattern) in PREFIXES {
        if let (Some(bucket), Some(pattern)) = (text(bucket_handle), text(pattern)) {
            let prefix = run.fill(&pattern, &[("platform_run_id", &id)])?;
            objects.insert(format!("arn:aws:s3:::{bucket}/{prefix}x.json"), bucket_handle);
            if bucket_handle == EVIDENCE.0 {
                let key = run.run_control_key("verdict.json");
                objects.insert(format!("arn:aws:s3:::{bucket}/{key}"), RUN_CONTROL);
            }
        }
    }
    let repository =
        text(REPOSITORY).map(|name| (format!("arn:aws:ecr:{region}:{account}:repository/{name}"), REPOSITORY));
    let logs = text(LOGS)
        .map(|prefix| (format!("arn:aws:logs:{region}:{account}:log-group:{prefix}/daemon:log-stream:task"), LOGS));
    let role = (format!("arn:aws:iam::{account}:role/another"), "another role");
    Ok(vec![
        (READS.into_iter().chain(OTHER_ON_SECRETS).collect(), secrets),
        ([PUT, GET].into_iter().chain(TAKE_AWAY).collect(), objects),
        (ADMINISTER.to_vec(), BTreeMap::from([role])),
        (PULL.to_vec(), repository.into_iter().collect()),
        (LOG.to_vec(), logs.into_iter().collect()),
    ])
}
