//! M3's verdict: one named execution of phasegate, or, in a rehearsal, the handoff files of a phase that was closed by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::evidence::digest::sha256_hex;
use support::run::check::{Check, Judged, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::run::outcome::RunBasis;
use support::secrets;
use support::substrate::reply::CallErrorKind;

const PACK: &str = "m4_handoff_pack.json";
const VERDICT_SNAPSHOT: &str = "m3_f_verdict_snapshot.json";
const ADVANCE: &str = "ADVANCE_TO_M4";

/// What M3 handed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m4::dev_min) struct Entry {
    /// The execution that `PHASEGATE_FROM` names.
    pub execution: Option<String>,
    /// Whether this run counts.
    pub live: bool,
    /// The account that it must be of.
    pub account: Option<String>,
    /// Where the pack lies.
    pub pack_at: String,
    /// The pack, or why there is none.
    pub pack: Result<Value, String>,
    /// Where the verdict lies.
    pub verdict_at: String,
    /// What says the verdict, or why nothing does.
    pub verdict: Result<Value, String>,
    /// The pack's SHA-256, and the one that the verdict lists for it; of a named execution alone.
    pub digests: Option<(String, Option<String>)>,
    /// The registry's name for the variable of the run's scope.
    pub env_key: Option<String>,
    /// The older handoffs that values are taken from: the path, and whether the verdict lists these bytes among its inputs.
    pub older: Vec<(String, bool)>,
}

impl Entry {
    fn text(&self, document: &Result<Value, String>, name: &str) -> Option<String> {
        document.as_ref().ok()?.get(name)?.as_str().map(str::to_owned)
    }

    /// A text of the pack.
    pub(in crate::m4::dev_min) fn of_pack(&self, name: &str) -> Option<String> {
        self.text(&self.pack, name)
    }

    /// The run that M3 pinned.
    pub(in crate::m4::dev_min) fn platform_run_id(&self) -> Option<String> {
        self.of_pack("platform_run_id")
    }

    /// What M3 decided.
    pub(in crate::m4::dev_min) fn decided(&self) -> Option<String> {
        self.text(&self.verdict, "verdict")
    }
}

/// What the store has of the run that M3 pinned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m4::dev_min) struct Pinned {
    /// Each URI of the pack, and whether its object is there.
    pub references: BTreeMap<String, bool>,
    /// The run that each of these objects says it is of; none where it says none.
    pub runs: BTreeMap<String, Option<String>>,
    /// `run.json`'s own words, by the names of its fields.
    pub header: BTreeMap<String, Option<String>>,
    /// Where it lies.
    pub header_at: String,
    /// Where the registry lets the run's evidence lie, or why that cannot be told.
    pub root: Result<String, String>,
}

pub(super) static ADVANCES: Check<Entry> = Check::<Entry>::new(
    "entry.advances",
    "M4A-B1",
    &["entry"],
    |entry| {
        let pack = entry.pack.as_ref().map_err(|why| Unmet::from(format!("{}: {why}", entry.pack_at)))?;
        let verdict = entry.verdict.as_ref().map_err(|why| Unmet::from(format!("{}: {why}", entry.verdict_at)))?;
        let secret = secrets::scan_json(pack);
        if let Some(hit) = secret.first() {
            let next = "take the secret out of M3's handoff, and rotate it";
            return Err(
                Unmet::from(format!("{}: it holds a secret at {} ({})", entry.pack_at, hit.at, hit.rule)).next(next)
            );
        }
        if let Some(execution) = &entry.execution {
            of_execution(entry, execution, verdict)?;
            if let Some((path, _)) = entry.older.iter().find(|(_, listed)| entry.live && !listed) {
                let next = "close M3 again with the handoff that M4 reads, so that its verdict lists it";
                let why = format!("{path} states values, and {} does not list these bytes of it", entry.verdict_at);
                return Err(Unmet::from(why).next(next));
            }
        } else {
            let next = "name the execution of M3 that counts: PHASEGATE_FROM=m3_<YYYYMMDDTHHMMSSZ>";
            if entry.live {
                let why = format!(
                    "{} is a handoff that phasegate did not judge; a live run enters on a live verdict.json only",
                    entry.pack_at
                );
                return Err(Unmet::from(why).next(next));
            }
        }
        for (at, document, name) in [(&entry.verdict_at, verdict, "verdict"), (&entry.pack_at, pack, "m3_verdict")] {
            let says = document.get(name).and_then(Value::as_str).unwrap_or("-");
            ensure!(says == ADVANCE, "{at}: {name} is `{says}`, not `{ADVANCE}`");
        }
        let blockers = verdict.get("blockers").or_else(|| verdict.get("roots")).and_then(Value::as_array);
        ensure!(blockers.is_some_and(Vec::is_empty), "{}: it does not say that no blocker is open", entry.verdict_at);
        for (at, document) in [(&entry.verdict_at, verdict), (&entry.pack_at, pack)] {
            // Said by those that were closed by hand; what phasegate wrote has its predicates in the verdict.
            if let Some(passed) = document.get("overall_pass") {
                ensure!(*passed == true, "{at}: overall_pass is {passed}");
            }
            let predicates = document.get("predicates").and_then(Value::as_object);
            if let Some((name, held)) = predicates.into_iter().flatten().find(|(_, held)| **held != true) {
                return Err(Unmet::from(format!("{at}: the predicate {name} is {held}")));
            }
        }
        ensure!(
            pack.get("non_secret").and_then(Value::as_bool) == Some(true),
            "{}: it does not declare `non_secret: true`",
            entry.pack_at
        );
        same_run(entry, pack, verdict)
    },
    |entry| entry.verdict = Ok(serde_json::json!({ "verdict": "HOLD_M3", "blockers": [] })),
)
.next("close M3 first; its verdict must be ADVANCE_TO_M4, and its handoff pack complete");

/// What a verdict of phasegate must say of itself.
fn of_execution(entry: &Entry, execution: &str, verdict: &Value) -> Result<(), Unmet> {
    let at = &entry.verdict_at;
    let text = |name: &str| verdict.get(name).and_then(Value::as_str).unwrap_or("-");
    for (name, wanted) in [("execution_id", execution), ("track", "dev_min"), ("phase", "M3"), ("mode", "commit")] {
        ensure!(text(name) == wanted, "{at}: {name} is `{}`, not `{wanted}`", text(name));
    }
    let basis = if entry.live { "live" } else { "rehearsal" };
    ensure!(text("basis") == basis, "{at}: basis is `{}`, and this run is {basis}", text("basis"));
    let account = entry.account.as_deref().unwrap_or("-");
    ensure!(text("account") == account, "{at}: account is {}, and {account} is expected", text("account"));
    match &entry.digests {
        Some((is, Some(listed))) if is == listed => Ok(()),
        Some((is, Some(listed))) => {
            Err(format!("{} has SHA-256 {is}, and {at} lists {listed} for it", entry.pack_at).into())
        }
        _ => Err(format!("{at} does not list {PACK}").into()),
    }
}

/// All that M3 left speaks of one run, and the pack says what M4 needs of it.
fn same_run(entry: &Entry, pack: &Value, verdict: &Value) -> Judged {
    let text = |name: &str| pack.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let lacking = |name: &str| Unmet::from(format!("{}: there is no `{name}`", entry.pack_at));
    let run = text("platform_run_id").ok_or_else(|| lacking("platform_run_id"))?;
    let of_verdict = verdict.get("platform_run_id").and_then(Value::as_str).unwrap_or("-");
    ensure!(of_verdict == run, "{} is of run {of_verdict}, {} of {run}", entry.verdict_at, entry.pack_at);
    let key = text("required_platform_run_id_env_key").ok_or_else(|| lacking("required_platform_run_id_env_key"))?;
    // A registry without the handle is another check's.
    if let Some(pinned) = &entry.env_key {
        ensure!(key == pinned, "{}: the run's variable is {key}, the registry's is {pinned}", entry.pack_at);
    }
    let value =
        text("required_platform_run_id_env_value").ok_or_else(|| lacking("required_platform_run_id_env_value"))?;
    ensure!(value == run, "{}: {key} is {value}, and the run is {run}", entry.pack_at);
    let execution = verdict.get("m3_execution_id").or_else(|| verdict.get("execution_id")).and_then(Value::as_str);
    let (of_pack, of_verdict) = (text("m3_execution_id").unwrap_or("-"), execution.unwrap_or("-"));
    ensure!(of_pack == of_verdict, "{} is of execution {of_verdict}, {} of {of_pack}", entry.verdict_at, entry.pack_at);
    for name in ["m3_execution_id", "config_digest", "runtime_scope_bundle_uri", "run_evidence_root"] {
        text(name).ok_or_else(|| lacking(name))?;
    }
    let image = |name: &str| pack.pointer(&format!("/image/{name}")).and_then(Value::as_str).is_some();
    ensure!(image("image_tag") && image("image_digest"), "{}: it names no image by tag and digest", entry.pack_at);
    Ok(format!("{} says {ADVANCE} of run {run}, and {} hands it over", entry.verdict_at, entry.pack_at))
}

pub(super) static PINNED: Check<(Entry, Pinned)> = Check::<(Entry, Pinned)>::new(
    "entry.pinned",
    "M4A-B1",
    &["entry", "pinned"],
    |(entry, pinned)| {
        let missing: Vec<&str> =
            pinned.references.iter().filter(|(_, there)| !**there).map(|(uri, _)| uri.as_str()).collect();
        ensure!(missing.is_empty(), "{} names {}, which is not in the store", entry.pack_at, missing.join(", "));
        ensure!(!pinned.references.is_empty(), "{} names no object of the run", entry.pack_at);
        let run = entry.platform_run_id();
        for (uri, says) in &pinned.runs {
            let (says, run) = (says.as_deref().unwrap_or("no run"), run.as_deref().unwrap_or("-"));
            ensure!(says == run, "{uri} is of {says}, {} of {run}", entry.pack_at);
        }
        let root = entry.of_pack("run_evidence_root").unwrap_or_default();
        let wanted = pinned.root.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(root == *wanted, "{}: run_evidence_root is {root}, the registry's is {wanted}", entry.pack_at);
        for name in ["platform_run_id", "config_digest"] {
            let there = pinned.header.get(name).is_some_and(Option::is_some);
            ensure!(there, "{} was not read, or has no `{name}`: {} must name it as `run_json`", pinned.header_at, entry.pack_at);
        }
        for (name, says) in &pinned.header {
            let (says, of_pack) = (says.as_deref().unwrap_or("-"), pack_says(entry, name));
            let of_pack = of_pack.as_deref().unwrap_or("-");
            ensure!(says == of_pack, "{} says {name} {says}, {} says {of_pack}", pinned.header_at, entry.pack_at);
        }
        Ok(format!("{} objects of the run are there, and {} says the same of it", pinned.references.len(), pinned.header_at))
    },
    |(_, pinned)| {
        pinned.references.insert("s3://doctored".to_owned(), false);
    },
)
.next("look at the object with `aws s3api head-object`; a run whose header is gone, or another one, needs M3 again under a new run id");

/// What the pack says under the name that `run.json` uses.
fn pack_says(entry: &Entry, name: &str) -> Option<String> {
    let pack = entry.pack.as_ref().ok()?;
    let value = pack.get(name).or_else(|| pack.pointer(&format!("/image/{name}")))?;
    value.as_str().map(str::to_owned)
}

/// The handoff files that the plan names, for a rehearsal that names no execution.
pub(super) fn of_documents(run: &LaneRun<'_>) -> Entry {
    let named = |file: &str| {
        let found = run.documents().handoffs.iter().find(|handoff| handoff.path.ends_with(&format!("/{file}")));
        match found {
            Some(handoff) => (handoff.path.clone(), handoff.content.clone()),
            None => (file.to_owned(), Err("the plan's Authority Inputs do not name it".to_owned())),
        }
    };
    let ((pack_at, pack), (verdict_at, verdict)) = (named(PACK), named(VERDICT_SNAPSHOT));
    Entry {
        execution: None,
        live: run.basis() == RunBasis::Live,
        account: run.expected_account().map(str::to_owned),
        pack_at,
        pack,
        verdict_at,
        verdict,
        digests: None,
        older: older(run).into_iter().map(|(path, _)| (path, false)).collect(),
        env_key: run.text("REQUIRED_PLATFORM_RUN_ID_ENV_KEY").ok(),
    }
}

/// The verdict of the execution that is named, and the pack that it lists, both from the store.
pub(super) fn of_execution_in_store(run: &mut LaneRun<'_>, execution: &str) -> Result<Entry, Stop> {
    let bucket = run.evidence_bucket()?;
    let root = format!("evidence/dev_min/run_control/{execution}/");
    let mut entry = of_documents(run);
    entry.execution = Some(execution.to_owned());
    (entry.verdict_at, entry.pack_at) =
        (format!("s3://{bucket}/{root}verdict.json"), format!("s3://{bucket}/{root}{PACK}"));
    let verdict = read(run, &bucket, &format!("{root}verdict.json"))?;
    let pack = read(run, &bucket, &format!("{root}{PACK}"))?;
    let parse = |bytes: &Result<Vec<u8>, String>| {
        bytes.clone().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string()))
    };
    (entry.verdict, entry.pack) = (parse(&verdict), parse(&pack));
    let listed = entry.verdict.as_ref().ok().and_then(|verdict| {
        let files = verdict.get("files")?.as_array()?;
        let at = format!("s3://{bucket}/{root}{PACK}");
        let file = files.iter().find(|file| file.get("uri").and_then(Value::as_str) == Some(&at))?;
        file.get("sha256")?.as_str().map(str::to_owned)
    });
    entry.digests = pack.ok().map(|bytes| (sha256_hex(&bytes), listed));
    let inputs = entry.verdict.as_ref().ok().and_then(|verdict| verdict.get("inputs")).and_then(Value::as_array);
    let inputs: Vec<&str> = inputs.into_iter().flatten().filter_map(|input| input.get("sha256")?.as_str()).collect();
    entry.older = older(run).into_iter().map(|(path, digest)| (path, inputs.contains(&digest.as_str()))).collect();
    Ok(entry)
}

/// The handoffs that are none of M3's, each with the digest of what was read.
fn older(run: &LaneRun<'_>) -> Vec<(String, String)> {
    let others = run.documents().handoffs.iter().filter(|handoff| {
        let file = handoff.path.rsplit('/').next().unwrap_or_default();
        file != PACK && file != VERDICT_SNAPSHOT && handoff.content.is_ok()
    });
    let text = |handoff: &support::run::documents::Handoff| handoff.text.clone().unwrap_or_default();
    others.map(|handoff| (handoff.path.clone(), sha256_hex(text(handoff).as_bytes()))).collect()
}

fn read(run: &mut LaneRun<'_>, bucket: &str, key: &str) -> Result<Result<Vec<u8>, String>, Stop> {
    let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
    match run.world()?.objects.get_object(bucket, key, None) {
        Ok(reply) => Ok(Ok(reply.value.bytes)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(Err("it is not in the store".to_owned())),
        Err(error) => Err(run.unanswered("entry", &call, error)),
    }
}

/// Asks the store for what the pack names.
pub(super) fn look_up(run: &mut LaneRun<'_>, entry: &Entry) -> Step {
    let bucket = run.evidence_bucket()?;
    let own = format!("s3://{bucket}/");
    let listed = entry.pack.as_ref().ok().and_then(|pack| pack.get("durable_references")).and_then(Value::as_object);
    let (mut references, mut runs) = (BTreeMap::new(), BTreeMap::new());
    let mut header_at = None;
    let scope = entry.pack.as_ref().ok().and_then(|pack| pack.as_object()?.get_key_value("runtime_scope_bundle_uri"));
    for (name, uri) in listed.into_iter().flatten().chain(scope) {
        let Some(uri) = uri.as_str() else {
            references.insert(format!("{name} (no text)"), false);
            continue;
        };
        let key = uri.strip_prefix(&own);
        let there = match key {
            Some(key) => run.exists("pinned", &bucket, key)?,
            None => false,
        };
        if let Some(key) = key.filter(|_| there) {
            let body = run.get_json("pinned", &bucket, key)?;
            runs.insert(uri.to_owned(), body.get("platform_run_id").and_then(Value::as_str).map(str::to_owned));
        }
        references.insert(uri.to_owned(), there);
        if name == "run_json" && there {
            header_at = Some(uri.to_owned());
        }
    }
    let mut header = BTreeMap::new();
    if let Some(key) = header_at.as_deref().and_then(|uri| uri.strip_prefix(&own)) {
        let body = run.get_json("pinned", &bucket, key)?;
        for name in ["platform_run_id", "config_digest", "image_tag", "image_digest", "git_sha", "scenario_run_id"] {
            header.insert(name.to_owned(), body.get(name).and_then(Value::as_str).map(str::to_owned));
        }
    }
    let header_at = header_at.unwrap_or_else(|| "run.json".to_owned());
    let root =
        run.text("S3_EVIDENCE_RUN_ROOT_PATTERN").map_err(|_| "S3_EVIDENCE_RUN_ROOT_PATTERN has no value".to_owned());
    let id = entry.platform_run_id().unwrap_or_default();
    let root = match root {
        Ok(pattern) => Ok(format!("{own}{}", run.fill(&pattern, &[("platform_run_id", &id)])?)),
        Err(why) => Err(why),
    };
    let pinned = Pinned { references, runs, header, header_at, root };
    run.observe("pinned", "head-object and get-object of every URI of the pack", &pinned)
}
