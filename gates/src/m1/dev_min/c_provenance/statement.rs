//! The same provenance in the words of the supply chain: SLSA provenance v1 in an in-toto statement.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::Check;
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::run::publication::{Publication, durable_derived, non_secret_derived};

use crate::m1::dev_min::a_image_contract::Identity;
use crate::m1::dev_min::{e_build_surface, f_driver, files};

const FILE: &str = "packaging_provenance.intoto.json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// Who builds here, and how, as a type of builds.
const BUILD_TYPE: &str = "https://phasegate.invalid/build-types/m1-packaging/v1";

/// The statement as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stated {
    uri: String,
    body: Value,
    /// The digest that it must be of.
    digest: String,
}

pub(super) static STATEMENT: Check<Stated> = Check::<Stated>::derived(
    "statement.of_the_image",
    "statement",
    &["statement"],
    |stated| {
        let text = |pointer: &str| stated.body.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        ensure!(text("/_type") == STATEMENT_TYPE, "{} is a {}", stated.uri, text("/_type"));
        ensure!(text("/predicateType") == PREDICATE_TYPE, "{} states {}", stated.uri, text("/predicateType"));
        let digest = format!("sha256:{}", text("/subject/0/digest/sha256"));
        ensure!(digest == stated.digest, "{} is of {digest}, the image is {}", stated.uri, stated.digest);
        for pointer in [
            "/predicate/buildDefinition/buildType",
            "/predicate/runDetails/builder/id",
            "/predicate/buildDefinition/resolvedDependencies/0/digest/gitCommit",
        ] {
            ensure!(text(pointer) != "-", "{} has nothing at {pointer}", stated.uri);
        }
        Ok(format!("{} states the provenance of {digest}", stated.uri))
    },
    |stated| stated.digest = format!("sha256:{}", "0".repeat(64)),
)
.next("look for a second writer under this run's prefix");

pub(super) static STATEMENT_DURABLE: Check<Publication> = durable_derived(
    "statement.durable",
    "statement_missing",
    &["publish:packaging_provenance.intoto.json"],
    |published| published.durable(Some("PG-M1.C-provenance_secret")),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, and package under a new run id");

pub(super) static STATEMENT_NON_SECRET: Check<Publication> =
    non_secret_derived("statement.non_secret", "statement_secret", &["publish:packaging_provenance.intoto.json"])
        .next("take the secret out of the registry, and rotate it");

pub(super) fn of(run: &LaneRun<'_>, identity: &Identity, digest: &str) -> Result<Value, Stop> {
    let resolved = e_build_surface::resolved(run)?;
    let built = e_build_surface::built(run)?;
    let driver = f_driver::accepted(run)?;
    let now = run.instant().rfc3339();
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    Ok(json!({
        "_type": STATEMENT_TYPE,
        "subject": [{ "name": resolved.repository_uri, "digest": { "sha256": hex } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "image_build_driver": driver.selected(),
                    "command_family_id": driver.family(),
                    "dockerfile_path": run.text("IMAGE_DOCKERFILE_PATH")?,
                    "build_path": run.text("IMAGE_BUILD_PATH")?,
                    "image_tag": identity.immutable_tag()?,
                },
                "internalParameters": { "context_digest": built.context_digest, "image_taken": built.taken },
                "resolvedDependencies": [{
                    "uri": "the sources of the image",
                    "digest": { "gitCommit": identity.git_sha()? },
                }],
            },
            "runDetails": {
                "builder": { "id": e_build_surface::build_actor(run, Some(&built))? },
                "metadata": { "invocationId": run.phase_execution_id(), "startedOn": built.completed_at(&now), "finishedOn": built.completed_at(&now) },
            },
        },
    }))
}

pub(super) fn publish(run: &mut LaneRun<'_>, statement: Value, digest: &str) -> Step {
    files::publish(run, FILE, statement, &["_type", "subject", "predicateType", "predicate"])?;
    let key = files::key(run, FILE)?;
    let bucket = run.evidence_bucket()?;
    let body = run.get_json("statement", &bucket, &key)?;
    let stated = Stated { uri: format!("s3://{bucket}/{key}"), body, digest: digest.to_owned() };
    run.observe("statement", &format!("s3api get-object of {}", stated.uri), &stated)
}
