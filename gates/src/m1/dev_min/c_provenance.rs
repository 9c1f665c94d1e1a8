//! M1.C: where the image comes from, written once under its run, and true by everyone who can be asked.

mod statement;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable_derived, non_secret_derived};
use support::substrate::reply::CallErrorKind;

use self::statement::{STATEMENT, STATEMENT_DURABLE, STATEMENT_NON_SECRET};
use super::records::{self, Records};
use super::{a_image_contract, e_build_surface, f_driver, files};

const PROVENANCE: &str = "packaging_provenance.json";

/// The field that says when the build was completed.
const COMPLETED: &str = "build_completed_at_utc";

/// The run's header, which P1 writes.
const RUN_HEADER: &str = "run.json";

/// The provenance as the store has it, beside what others say.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recorded {
    uri: String,
    key: String,
    body: Value,
    /// The fields that the plan names.
    planned: BTreeSet<String>,
    /// The names of the image's fields.
    names: Names,
    platform_run_id: String,
    git_sha: String,
    tag: String,
    /// What the tag resolves to once more, after all else.
    again: Option<String>,
    /// Where the plan wants it, and the run's header: the URIs of M1.C's path contract for this run.
    planned_uris: Vec<String>,
}

/// The names that the registry gives to the image's fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Names {
    image_tag: String,
    image_digest: String,
    git_sha: String,
    written_at_utc: String,
    config_digest: String,
}

impl Names {
    /// The handle that gives a field of the plan another name.
    fn other_than(&self, field: &str) -> Option<(&'static str, &str)> {
        let named = match field {
            "image_tag" => ("IMAGE_TAG_EVIDENCE_FIELD", &self.image_tag),
            "image_digest" => ("IMAGE_DIGEST_EVIDENCE_FIELD", &self.image_digest),
            "git_sha" => ("IMAGE_GIT_SHA_EVIDENCE_FIELD", &self.git_sha),
            "written_at_utc" => ("FIELD_WRITTEN_AT_UTC", &self.written_at_utc),
            _ => return None,
        };
        (named.1 != field).then_some((named.0, named.1.as_str()))
    }
}

impl Recorded {
    fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or("-")
    }

    /// The one URI of a file that M1.C pins.
    fn planned(&self, file: &str) -> Result<&String, Unmet> {
        let named: Vec<&String> = self.planned_uris.iter().filter(|uri| uri.ends_with(&format!("/{file}"))).collect();
        match named.as_slice() {
            [one] => Ok(one),
            _ => Err(Unmet::from(format!("M1.C pins {} paths for {file}", named.len()))
                .next("write the object's path once into M1.C's evidence path contract")),
        }
    }
}

/// The run's header, where P1 has written it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    key: String,
    body: Option<Value>,
    /// Versions and delete markers of the key, all pages walked.
    versions: usize,
    complete: bool,
}

static FIELDS: Check<Recorded> = Check::<Recorded>::derived(
    "provenance.fields",
    "fields",
    &["recorded"],
    |recorded| {
        ensure!(recorded.planned.len() >= 8, "the plan's M1.C names {} fields", recorded.planned.len());
        for field in &recorded.planned {
            let there = recorded.body.get(field).is_some_and(|value| !value.is_null() && value != "");
            if !there && let Some((handle, named)) = recorded.names.other_than(field) {
                return Err(Unmet::from(format!("M1.C asks for `{field}`, and {handle} names it `{named}`"))
                    .next(format!("pin {handle} = \"{field}\" in the registry, or correct M1.C's list of fields")));
            }
            if !there && field == COMPLETED {
                return Err(Unmet::from(format!("{}: when the image was built is not known: its configuration says no time", recorded.uri))
                    .next("let the builder keep the time of the build, or leave PHASEGATE_IMAGE out, so that the gate builds the image"));
            }
            ensure!(there, "{} has no `{field}`, which M1.C asks for", recorded.uri);
        }
        ensure!(recorded.text("phase_id") == files::PHASE_ID, "{} is of phase {}", recorded.uri, recorded.text("phase_id"));
        ensure!(
            recorded.text("platform_run_id") == recorded.platform_run_id,
            "{} is of run {}, not of {}",
            recorded.uri,
            recorded.text("platform_run_id"),
            recorded.platform_run_id
        );
        ensure!(recorded.text("oci_digest_algo") == "sha256", "{}: the digest is no SHA-256", recorded.uri);
        ensure!(
            recorded.text("oci_digest_value") == recorded.text(&recorded.names.image_digest),
            "{} has two digests",
            recorded.uri
        );
        Ok(format!("{}: {} fields, as M1.C asks", recorded.uri, recorded.planned.len()))
    },
    |recorded| {
        recorded.planned.insert("doctored_field".to_owned());
    },
)
.next("report it as a defect of phasegate, with the execution's folder, unless the plan's M1.C was changed: then this version does not know it");

static PATH: Check<Recorded> = Check::<Recorded>::derived(
    "provenance.path",
    "evidence_path",
    &["recorded"],
    |recorded| {
        let Recorded { key, platform_run_id, .. } = recorded;
        let ends = format!("/{platform_run_id}/{}/{PROVENANCE}", files::PHASE_ID);
        ensure!(key.ends_with(&ends), "{key} is not of run {platform_run_id} and phase {}", files::PHASE_ID);
        let planned = recorded.planned(PROVENANCE)?;
        ensure!(*planned == recorded.uri, "it lies at {}, and M1.C pins {planned}", recorded.uri);
        Ok(format!("{key} is scoped to its run, where M1.C pins it"))
    },
    |recorded| recorded.uri.push_str(".doctored"),
)
.next("pin EVIDENCE_PHASE_PREFIX_PATTERN as evidence/runs/{platform_run_id}/{phase_id}/");

static DURABLE: Check<Publication> = durable_derived(
    "provenance.durable",
    "provenance_missing",
    &["publish:packaging_provenance.json"],
    |published| published.durable(Some("PG-M1.C-provenance_secret")),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, and package under a new run id");

static NON_SECRET: Check<Publication> =
    non_secret_derived("provenance.non_secret", "provenance_secret", &["publish:packaging_provenance.json"])
        .next("take the secret out of the registry, and rotate it");

static GIT: Check<Recorded> = Check::<Recorded>::derived(
    "provenance.git",
    "git_mismatch",
    &["recorded"],
    |recorded| {
        let (sha, tag) = (recorded.text(&recorded.names.git_sha), recorded.text(&recorded.names.image_tag));
        ensure!(sha == recorded.git_sha, "{} says commit {sha}, the sources are {}", recorded.uri, recorded.git_sha);
        ensure!(tag == recorded.tag && tag.ends_with(sha), "{}: tag {tag} is not that of commit {sha}", recorded.uri);
        Ok(format!("{tag} is the tag of commit {sha}"))
    },
    |recorded| recorded.git_sha = "0".repeat(40),
)
.next("look for a second writer under this run's prefix; package the commit again under a new run id");

static DIGEST: Check<Recorded> = Check::<Recorded>::derived(
    "provenance.digest",
    "digest_mismatch",
    &["recorded"],
    |recorded| {
        let digest = recorded.text(&recorded.names.image_digest);
        let Some(again) = &recorded.again else {
            return Err(Unmet::from(format!("{} resolves to nothing any more", recorded.tag)));
        };
        ensure!(again == digest, "{} is {again} now, {} says {digest}", recorded.tag, recorded.uri);
        Ok(format!("{} still is {digest}", recorded.tag))
    },
    |recorded| recorded.again = Some(format!("sha256:{}", "0".repeat(64))),
)
.next("find out who moved the tag; the image that was checked may not be the one that runs");

static HEADER: Check<(Recorded, Header)> = Check::<(Recorded, Header)>::derived(
    "provenance.run_header",
    "run_json_mismatch",
    &["recorded", "header"],
    |(recorded, header)| {
        let planned = recorded.planned(RUN_HEADER)?;
        ensure!(
            planned.ends_with(&format!("/{}", header.key)),
            "the header is looked for at {}, and M1.C pins {planned}",
            header.key
        );
        let Some(body) = &header.body else {
            ensure!(header.complete && header.versions == 0, "{} was there once, and is gone", header.key);
            return Ok(format!("P1 has not written {} yet", header.key));
        };
        let names = &recorded.names;
        for field in [&names.image_tag, &names.image_digest, &names.git_sha] {
            let says = body.get(field).and_then(Value::as_str).unwrap_or("-");
            ensure!(
                says == recorded.text(field),
                "{} says {field} {says}, {} says {}",
                header.key,
                recorded.uri,
                recorded.text(field)
            );
        }
        let digest = body.get(&names.config_digest).and_then(Value::as_str).unwrap_or("-");
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        ensure!(is_digest, "{} says {} {digest}, which is no SHA-256", header.key, names.config_digest);
        Ok(format!("{} says the same of the image, and of which configuration", header.key))
    },
    |(recorded, header)| {
        let other = json!({ &recorded.names.image_tag: "doctored" });
        header.body = Some(other);
    },
)
.next("package under the run id that is meant; a run that P1 has pinned with another image needs a new one");

/// What M1.C writes down of what must fail.
const MISMATCHES: &str = "mismatch handling";

static WRITTEN: Check<Records> = records::written("mismatches.written", "mismatch_handling");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.C", execute)
        .after("M1.B")
        .after("M1.D")
        .documents(|run| records::observe(run, "M1.C", &[MISMATCHES]))
        .rests_on(MISMATCHES)
        .rests_on("provenance contract")
        .rests_on("evidence path contract")
        .may_be_given("GITHUB_ACTOR")
        .may_be_given("GITHUB_RUN_ID")
        .proves("provenance complete, under its run, put once and read back; tag, digest and commit still agree")
        .checks([
            &WRITTEN as &dyn AnyCheck,
            &NON_SECRET,
            &DURABLE,
            &FIELDS,
            &PATH,
            &GIT,
            &DIGEST,
            &HEADER,
            &STATEMENT_NON_SECRET,
            &STATEMENT_DURABLE,
            &STATEMENT,
        ])
        .requirement("provenance-fields", [FIELDS.holds(), STATEMENT.holds()])
        .requirement("evidence-path", [PATH.holds(), DURABLE.holds(), STATEMENT_DURABLE.holds()])
        .requirement(
            "mismatch-fails-closed",
            [
                WRITTEN.holds(),
                GIT.holds(),
                GIT.refusal(),
                DIGEST.holds(),
                DIGEST.refusal(),
                HEADER.holds(),
                HEADER.refusal(),
                DURABLE.refusal(),
            ],
        )
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&WRITTEN]
}

/// `provenance_recorded`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M1.C")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let identity = a_image_contract::accepted(run)?;
    let resolved = e_build_surface::resolved(run)?;
    let names = Names {
        image_tag: run.text("IMAGE_TAG_EVIDENCE_FIELD")?,
        image_digest: run.text("IMAGE_DIGEST_EVIDENCE_FIELD")?,
        git_sha: run.text("IMAGE_GIT_SHA_EVIDENCE_FIELD")?,
        written_at_utc: run.text("FIELD_WRITTEN_AT_UTC")?,
        config_digest: run.text("CONFIG_DIGEST_FIELD")?,
    };
    let Some(platform_run_id) = identity.platform_run_id.clone() else {
        return Err(Stop::Fault(
            "no run is named that the image is packaged for; set PHASEGATE_PLATFORM_RUN_ID".to_owned(),
        ));
    };
    let body = provenance(run, &names, &identity, &resolved, &platform_run_id)?;
    let digest = resolved.registry.clone().unwrap_or_default();
    let statement = statement::of(run, &identity, &digest)?;
    files::publish(run, PROVENANCE, body, &["platform_run_id", &names.image_tag, &names.image_digest, &names.git_sha])?;
    statement::publish(run, statement, &digest)?;
    let key = files::key(run, PROVENANCE)?;
    let bucket = run.evidence_bucket()?;
    let read = run.get_json("recorded", &bucket, &key)?;
    let again = e_build_surface::resolve_again(run, &identity)?;
    let recorded = Recorded {
        uri: format!("s3://{bucket}/{key}"),
        key,
        body: read,
        planned_uris: planned_uris(run, &bucket, &platform_run_id),
        planned: planned_fields(run),
        names,
        git_sha: identity.git_sha()?.to_owned(),
        tag: identity.immutable_tag()?.to_owned(),
        platform_run_id: platform_run_id.clone(),
        again,
    };
    run.observe(
        "recorded",
        &format!("s3api get-object of {}; the registry's manifest of the tag", recorded.uri),
        &recorded,
    )?;
    header(run, &bucket, &platform_run_id)
}

fn provenance(
    run: &LaneRun<'_>,
    names: &Names,
    identity: &a_image_contract::Identity,
    resolved: &e_build_surface::Resolved,
    platform_run_id: &str,
) -> Result<Value, Stop> {
    let driver = f_driver::accepted(run)?;
    let mut body = Map::new();
    let now = run.instant().rfc3339();
    body.insert("phase_id".to_owned(), json!(files::PHASE_ID));
    body.insert("platform_run_id".to_owned(), json!(platform_run_id));
    body.insert(names.written_at_utc.clone(), json!(now));
    body.insert(names.image_tag.clone(), json!(identity.immutable_tag()?));
    body.insert(names.image_digest.clone(), json!(resolved.registry));
    body.insert(names.git_sha.clone(), json!(identity.git_sha()?));
    let built = e_build_surface::built(run)?;
    body.insert(COMPLETED.to_owned(), json!(built.completed_at(&now)));
    body.insert("build_actor".to_owned(), json!(e_build_surface::build_actor(run, Some(&built))?));
    body.insert("ecr_repo_uri".to_owned(), json!(resolved.repository_uri));
    body.insert("image_reference_mode".to_owned(), json!(identity.handle("IMAGE_REFERENCE_MODE")?));
    body.insert("dockerfile_path".to_owned(), json!(run.text("IMAGE_DOCKERFILE_PATH")?));
    body.insert("build_path".to_owned(), json!(run.text("IMAGE_BUILD_PATH")?));
    body.insert("oci_digest_algo".to_owned(), json!("sha256"));
    body.insert("oci_digest_value".to_owned(), json!(resolved.registry));
    body.insert("image_build_driver".to_owned(), json!(driver.selected()));
    body.insert("non_secret".to_owned(), json!(true));
    Ok(Value::Object(body))
}

/// The objects that M1.C's records name, for this run.
fn planned_uris(run: &LaneRun<'_>, bucket: &str, platform_run_id: &str) -> Vec<String> {
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.C"));
    let entries = records.flat_map(|record| &record.entries).flat_map(|e| std::iter::once(e).chain(e.all_below()));
    let uris = entries.flat_map(|entry| entry.code()).filter(|span| span.starts_with("s3://"));
    uris.map(|uri| uri.replace("<S3_EVIDENCE_BUCKET>", bucket).replace("<platform_run_id>", platform_run_id)).collect()
}

/// The names in M1.C's records that are fields: lower case, in one word with underscores.
fn planned_fields(run: &LaneRun<'_>) -> BTreeSet<String> {
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.C"));
    let entries = records.flat_map(|record| &record.entries).flat_map(|e| std::iter::once(e).chain(e.all_below()));
    entries
        .flat_map(|entry| entry.code())
        .map(|span| span.split_whitespace().next().unwrap_or_default())
        .filter(|word| word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .map(str::to_owned)
        .collect()
}

fn header(run: &mut LaneRun<'_>, bucket: &str, platform_run_id: &str) -> Step {
    let pattern = run.text("EVIDENCE_RUN_JSON_KEY")?;
    let key = run.fill(&pattern, &[("platform_run_id", platform_run_id)])?;
    let call = format!("aws s3api list-object-versions --bucket {bucket} --prefix '{key}'");
    let objects = &run.world()?.objects;
    let versions = match objects.list_versions(bucket, &key) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("header", &call, error)),
    };
    let body = match objects.get_object(bucket, &key, None) {
        Ok(reply) => Some(serde_json::from_slice(&reply.value.bytes).unwrap_or(Value::Null)),
        Err(error) if error.kind == CallErrorKind::NotFound => None,
        Err(error) => return Err(run.unanswered("header", &format!("aws s3api get-object of {key}"), error)),
    };
    let header = Header {
        body,
        versions: versions.entries.iter().filter(|version| version.key == key).count(),
        complete: versions.complete,
        key,
    };
    run.observe("header", &call, &header)
}
