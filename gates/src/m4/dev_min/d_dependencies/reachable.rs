//! What daemons stand on, asked from where the gate runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::reach::{KafkaCluster, Tls};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::ReadableParameter;
use support::substrate::reply::{CallError, CallErrorKind};

use crate::m4::dev_min::{a_handle_closure, c_identity};

/// How the handles of topics begin.
const TOPIC: &str = "FP_BUS_";

/// The buckets, by handle.
const BUCKETS: [&str; 4] = ["S3_ORACLE_BUCKET", "S3_ARCHIVE_BUCKET", "S3_QUARANTINE_BUCKET", "S3_EVIDENCE_BUCKET"];

/// The port of a database whose registry pins none.
const PORT: u64 = 5432;

/// The parameters that services need, by handle: the path, and how it is kept, or why it cannot be read.
pub(super) type Parameters = BTreeMap<String, (String, Result<ReadableParameter, String>)>;

/// What answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m4::dev_min) struct Answers {
    /// Kafka, or why it did not answer; its hosts are not kept, since its bootstrap is a secret.
    kafka: Result<Kafka, String>,
    /// The topics that M4.A requires, by handle.
    topics: BTreeMap<String, String>,
    /// By handle: the bucket, and why it did not answer.
    buckets: BTreeMap<String, (String, Option<String>)>,
    /// By the handle of its pattern: the run's prefix as a URI, and why it cannot be listed.
    prefixes: BTreeMap<String, (String, Option<String>)>,
    /// The database's name, and whether it offers TLS.
    database: (String, Result<bool, String>),
    /// The prefix of log groups, those that are there, and whether the list is whole.
    log_prefix: String,
    log_groups: BTreeSet<String>,
    logs_complete: bool,
    /// The log groups that task definitions name.
    wanted_groups: BTreeSet<String>,
}

/// What Kafka said.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kafka {
    brokers: usize,
    /// By topic: partitions, those without a leader, and an error.
    topics: BTreeMap<String, (usize, usize, Option<String>)>,
}

impl From<KafkaCluster> for Kafka {
    fn from(cluster: KafkaCluster) -> Self {
        let topics = cluster.topics.into_iter();
        Self {
            brokers: cluster.brokers.len(),
            topics: topics.map(|(name, t)| (name, (t.partitions, t.leaderless, t.error))).collect(),
        }
    }
}

impl Answers {
    pub(super) fn summary(&self) -> Value {
        json!({
            "kafka": { "reached": self.kafka.is_ok(), "topics": self.topics },
            "s3": self.buckets.iter().map(|(handle, (bucket, why))| {
                json!({ "handle": handle, "bucket": bucket, "reached": why.is_none() })
            }).collect::<Vec<_>>(),
            "s3_prefixes": self.prefixes.iter().map(|(handle, (prefix, why))| {
                json!({ "handle": handle, "prefix": prefix, "reached": why.is_none() })
            }).collect::<Vec<_>>(),
            "database": { "endpoint": self.database.0, "reached": self.database.1.is_ok() },
            "log_groups": self.log_groups,
        })
    }
}

/// What a snapshot says of the parameters.
pub(super) fn summary(parameters: &Parameters) -> Value {
    let each = parameters.iter();
    each.map(|(handle, (path, kept))| json!({ "handle": handle, "path": path, "readable": kept.is_ok() })).collect()
}

pub(super) static REACHED: Check<(Parameters, Answers)> = Check::<(Parameters, Answers)>::new(
    "dependencies.reached",
    "M4D-B1",
    &["parameters", "answers"],
    |(parameters, answers)| {
        ensure!(!parameters.is_empty(), "no service needs a parameter");
        for (handle, (path, kept)) in parameters {
            let kept = kept.as_ref().map_err(|why| Unmet::from(format!("{handle}: {path}: {why}")))?;
            ensure!(!kept.empty, "{handle}: {path} is empty");
            ensure!(!kept.placeholder, "{handle}: {path} only keeps a place");
        }
        let kafka = answers.kafka.as_ref().map_err(|why| Unmet::from(format!("Kafka: {why}")))?;
        ensure!(kafka.brokers > 0, "Kafka names no broker");
        ensure!(!answers.topics.is_empty(), "no topic was asked for");
        for (handle, topic) in &answers.topics {
            let Some((partitions, leaderless, error)) = kafka.topics.get(topic) else {
                return Err(Unmet::from(format!("{handle}: Kafka says nothing of the topic {topic}")));
            };
            if let Some(error) = error {
                return Err(Unmet::from(format!("{handle}: Kafka says {error} of the topic {topic}")));
            }
            ensure!(*partitions > 0, "{handle}: the topic {topic} has no partition");
            ensure!(*leaderless == 0, "{handle}: {leaderless} of {partitions} partitions of {topic} have no leader");
        }
        ensure!(!answers.prefixes.is_empty(), "no prefix was asked for");
        for (handle, (bucket, why)) in answers.buckets.iter().chain(&answers.prefixes) {
            if let Some(why) = why {
                return Err(Unmet::from(format!("{handle}: {bucket}: {why}")));
            }
        }
        let (name, database) = &answers.database;
        let tls = database.as_ref().map_err(|why| Unmet::from(format!("the database {name}: {why}")))?;
        ensure!(*tls, "the database {name} offers no TLS, and daemons send it their password");
        ensure!(answers.logs_complete, "the list of log groups below {} is not complete", answers.log_prefix);
        ensure!(!answers.wanted_groups.is_empty(), "no daemon keeps a log");
        let missing: Vec<&str> =
            answers.wanted_groups.difference(&answers.log_groups).map(String::as_str).collect();
        ensure!(missing.is_empty(), "daemons log into {}, which is not there below {}", missing.join(", "), answers.log_prefix);
        Ok(format!(
            "Kafka with {} topics, {} buckets and {} prefixes in them, the database, {} log groups",
            answers.topics.len(),
            answers.buckets.len(),
            answers.prefixes.len(),
            answers.wanted_groups.len()
        ))
    },
    |(_, answers)| answers.kafka = Err("doctored: silent".to_owned()),
)
.next("make what the message names answer from here: its address and login in the Parameter Store, its security group, its subnet; then run the gate again");

pub(super) static ENCRYPTED: Check<Parameters> = Check::<Parameters>::derived(
    "dependencies.encrypted",
    "parameter_in_clear",
    &["parameters"],
    |parameters| {
        let mut encrypted = 0;
        // One that cannot be read is the other check's.
        let read = parameters.iter().filter_map(|(handle, (path, kept))| Some((handle, path, kept.as_ref().ok()?)));
        for (handle, path, kept) in read {
            ensure!(kept.kind == "SecureString", "{handle}: {path} is a {}, which is kept in clear", kept.kind);
            encrypted += 1;
        }
        ensure!(encrypted > 0, "no parameter was read");
        Ok(format!("{encrypted} parameters, each a SecureString"))
    },
    |parameters| {
        for (_, kept) in parameters.values_mut() {
            if let Ok(kept) = kept {
                kept.kind = "String".to_owned();
            }
        }
    },
)
.next("write the parameter again as a SecureString, and rotate its value: whoever could list parameters could read it");

pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let kept = parameters(run)?;
    run.observe("parameters", "aws ssm get-parameter of each", &kept)?;
    let set = a_handle_closure::closed(run)?;
    let mut topics = BTreeMap::new();
    for handle in set.handles.keys().filter(|handle| handle.starts_with(TOPIC)) {
        topics.insert(handle.clone(), run.text(handle)?);
    }
    let log_prefix = run.text("CLOUDWATCH_LOG_GROUP_PREFIX")?;
    let call = format!("aws logs describe-log-groups --log-group-name-prefix {log_prefix}");
    let groups = match run.world()?.substrate.logs().log_groups(&log_prefix) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("answers", &call, error)),
    };
    let answers = Answers {
        kafka: kafka(run, &topics)?,
        buckets: buckets(run)?,
        prefixes: prefixes(run)?,
        database: database(run)?,
        wanted_groups: wanted_groups(run)?,
        topics,
        log_prefix,
        log_groups: groups.entries.into_iter().map(|group| group.name).collect(),
        logs_complete: groups.complete,
    };
    run.observe(
        "answers",
        "Kafka's metadata; s3api head-bucket and list-objects-v2; PostgreSQL's SSL request; logs describe-log-groups",
        &answers,
    )
}

/// How the parameters are kept that the services need; a value is never kept.
fn parameters(run: &LaneRun<'_>) -> Result<Parameters, Stop> {
    let paths: BTreeMap<String, String> = c_identity::secrets_by_service(run)?.into_values().flatten().collect();
    let mut kept = BTreeMap::new();
    for (handle, path) in paths {
        let answer = run.world()?.substrate.ssm().readable(&path);
        kept.insert(handle, (path, answer.map(|reply| reply.value).map_err(|error| error.to_string())));
    }
    Ok(kept)
}

/// Where Kafka is, by the three parameters that the registry names.
pub(in crate::m4::dev_min) fn kafka_address(
    run: &LaneRun<'_>,
) -> Result<Result<support::reach::KafkaAddress, CallError>, Stop> {
    let path = |name: &str| run.text(name);
    let (bootstrap, key, secret) = (
        path("SSM_CONFLUENT_BOOTSTRAP_PATH")?,
        path("SSM_CONFLUENT_API_KEY_PATH")?,
        path("SSM_CONFLUENT_API_SECRET_PATH")?,
    );
    Ok(run.world()?.substrate.kafka_address(&bootstrap, &key, &secret))
}

fn kafka(run: &LaneRun<'_>, topics: &BTreeMap<String, String>) -> Result<Result<Kafka, String>, Stop> {
    let address = match kafka_address(run)? {
        Ok(address) => address,
        Err(error) => return Ok(Err(format!("its address or login cannot be read: {error}"))),
    };
    let names: Vec<&str> = topics.values().map(String::as_str).collect();
    let answer = run.world()?.substrate.reach().kafka(&address, &names);
    Ok(answer
        .map(|reply| Kafka::from(reply.value))
        .map_err(|error| without_place(error, &address.bootstrap).to_string()))
}

/// An error without the bootstrap, which is a secret.
pub(in crate::m4::dev_min) fn without_place(mut error: CallError, bootstrap: &str) -> CallError {
    for server in bootstrap.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        for name in [server, host].into_iter().filter(|name| !name.is_empty()) {
            error.message = error.message.replace(name, "its bootstrap");
            error.target = error.target.replace(name, "its bootstrap");
        }
    }
    error
}

fn buckets(run: &mut LaneRun<'_>) -> Result<BTreeMap<String, (String, Option<String>)>, Stop> {
    let mut buckets = BTreeMap::new();
    for handle in BUCKETS {
        let bucket = run.text(handle)?;
        let why = run.world()?.objects.head_bucket(&bucket).err().map(|error| error.to_string());
        buckets.insert(handle.to_owned(), (bucket, why));
    }
    Ok(buckets)
}

/// The run's prefixes, each by a list of one key: nothing needs to lie there yet.
fn prefixes(run: &mut LaneRun<'_>) -> Result<BTreeMap<String, (String, Option<String>)>, Stop> {
    let id = a_handle_closure::accepted(run)?.platform_run_id().unwrap_or_default();
    let mut prefixes = BTreeMap::new();
    for (bucket, pattern) in c_identity::PREFIXES {
        let bucket = run.text(bucket)?;
        let prefix = run.fill(&run.text(pattern)?, &[("platform_run_id", &id)])?;
        let why = run.world()?.objects.list_objects(&bucket, &prefix, Some(1)).err().map(|error| error.to_string());
        prefixes.insert(pattern.to_owned(), (format!("s3://{bucket}/{prefix}"), why));
    }
    Ok(prefixes)
}

fn database(run: &LaneRun<'_>) -> Result<(String, Result<bool, String>), Stop> {
    let host = run.text("RDS_ENDPOINT")?;
    let port = match run.handles().resolve("DB_PORT") {
        Ok(resolved) => resolved.whole_number().map_err(|error| Stop::Fault(error.to_string()))?,
        Err(support::registry::HandleError::Missing { .. }) => PORT,
        Err(error) => return Err(Stop::Fault(error.to_string())),
    };
    let port = u16::try_from(port).map_err(|_| Stop::Fault(format!("DB_PORT is {port}, which is no port")))?;
    let answer = run.world()?.substrate.reach().postgres(&host, port);
    let tls = answer.map(|reply| reply.value.tls == Tls::Offered).map_err(|error| match error.kind {
        CallErrorKind::Refused => format!("not asked: {error}"),
        _ => error.to_string(),
    });
    Ok((format!("{host}:{port}"), tls))
}

/// The log groups that the services' task definitions name.
fn wanted_groups(run: &LaneRun<'_>) -> Result<BTreeSet<String>, Stop> {
    let deployed: crate::m4::dev_min::deployed::Deployed = run.fact("M4.C/deployed")?;
    let definitions = deployed.services.values().filter_map(|service| service.definition.as_ref());
    let containers = definitions.flat_map(|definition| &definition.containers);
    Ok(containers.filter_map(|container| container.log_options.get("awslogs-group").cloned()).collect())
}
