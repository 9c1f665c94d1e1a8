//! The closure notes: one entry per execution at the end of each document, and no other line touched (PLANS.md 27).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use similar::TextDiff;
use support::ensure;
use support::plan::{self, AuthorityKind, Source};
use support::run::check::{Check, Judged, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;

use super::PUBLISH_FAILS;
use crate::m3::dev_full::upstream::Identity;

/// What an entry says.
pub(super) struct Entry {
    pub execution_id: String,
    pub written_at: Instant,
    pub basis: &'static str,
    pub preflight: bool,
    pub identity: Identity,
    pub verdict_key: String,
}

/// The documents with their entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Noted {
    /// By role: `master_plan`, `implementation_map`, `logbook`.
    pub documents: BTreeMap<String, Document>,
    /// All changes, as a unified diff.
    pub patch: String,
}

/// One document, read back after the entry was written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Document {
    pub path: String,
    /// Why the entry could not be appended.
    pub problem: Option<String>,
    pub created: bool,
    /// The entry stands at its end.
    pub stands: bool,
    /// Everything before it is what it was, byte for byte.
    pub untouched: bool,
    /// What a parser sees in the document before and after: boxes, ids, codes, claims.
    pub parsed_before: [usize; 5],
    pub parsed_after: [usize; 5],
}

const MASTER: &str = "master_plan";
const MAP: &str = "implementation_map";
const LOGBOOK: &str = "logbook";

pub(super) static MASTER_PLAN: Check<Noted> =
    Check::<Noted>::new("notes.master_plan", PUBLISH_FAILS, &["closure_notes"], |noted| stands(noted, MASTER), lose)
        .next("make the document writable, then run the gate again");

pub(super) static IMPLEMENTATION_MAP: Check<Noted> = Check::<Noted>::new(
    "notes.implementation_map",
    PUBLISH_FAILS,
    &["closure_notes"],
    |noted| stands(noted, MAP),
    lose,
)
.next("make the document writable, then run the gate again");

pub(super) static ACTION_LOG: Check<Noted> =
    Check::<Noted>::new("notes.logbook", PUBLISH_FAILS, &["closure_notes"], |noted| stands(noted, LOGBOOK), lose)
        .next("make the document writable, then run the gate again");

pub(super) static HARMLESS: Check<Noted> = Check::<Noted>::new(
    "notes.harmless",
    PUBLISH_FAILS,
    &["closure_notes"],
    |noted| {
        ensure!(!noted.documents.is_empty(), "no document was annotated");
        for document in noted.documents.values().filter(|document| document.problem.is_none()) {
            ensure!(document.untouched, "{}: a line before the entry is another one now", document.path);
            ensure!(
                document.parsed_before == document.parsed_after,
                "{}: with the entry it has boxes, ids, codes, claims, errors {:?}, before {:?}",
                document.path,
                document.parsed_after,
                document.parsed_before
            );
        }
        Ok(format!(
            "{} documents: no line but the entry's is new, and none parses as a box, an id or a code",
            noted.documents.len()
        ))
    },
    |noted| {
        noted.documents.insert("doctored".to_owned(), Document::default());
    },
)
.next("report it as a defect of phasegate, with closure_notes.patch");

fn stands(noted: &Noted, role: &str) -> Judged {
    let document = noted.documents.get(role).ok_or_else(|| Unmet::from(format!("the {role} was not annotated")))?;
    if let Some(problem) = &document.problem {
        return Err(Unmet::from(problem.clone()));
    }
    ensure!(document.stands, "{}: the entry does not stand at its end", document.path);
    let created = if document.created { ", which was created" } else { "" };
    Ok(format!("the entry stands at the end of {}{created}", document.path))
}

fn lose(noted: &mut Noted) {
    noted.documents.values_mut().for_each(|document| document.stands = false);
}

/// Appends the entry to the three documents, below [`LaneRun::closure_root`], and reads them back. What cannot be done
/// for one document is that document's finding.
pub(super) fn append(run: &LaneRun<'_>, entry: &Entry) -> Noted {
    let root = run.closure_root();
    let mut noted = Noted { documents: BTreeMap::new(), patch: String::new() };
    for (role, path) in documents(run, entry.written_at) {
        let document = match path.and_then(|path| append_to(run, &root, &path, entry)) {
            Ok((document, diff)) => {
                noted.patch.push_str(&diff);
                document
            }
            Err(why) => Document { problem: Some(why), ..Document::default() },
        };
        noted.documents.insert(role.to_owned(), document);
    }
    noted
}

fn append_to(run: &LaneRun<'_>, root: &Path, path: &str, entry: &Entry) -> Result<(Document, String), String> {
    let there = run.repository().has(path).map_err(|e| e.to_string())?;
    let before = if there { run.repository().text(path).map_err(|e| e.to_string())? } else { String::new() };
    let after = with_entry(&before, entry);
    let target = root.join(path);
    let at_target = |e: std::io::Error| format!("{}: {e}", target.display());
    replace(&target, &after).map_err(at_target)?;
    let read = std::fs::read(&target).map_err(at_target)?;
    let from = if there { format!("a/{path}") } else { "/dev/null".to_owned() };
    let diff = TextDiff::from_lines(&before, &after).unified_diff().header(&from, &format!("b/{path}")).to_string();
    let document = Document {
        path: path.to_owned(),
        problem: None,
        created: !there,
        stands: read == after.as_bytes(),
        untouched: read.starts_with(before.as_bytes()),
        parsed_before: parsed(path, &before),
        parsed_after: parsed(path, &after),
    };
    Ok((document, diff))
}

/// Master plan and implementation map as the plan's Authority Inputs name them; the logbook of the day.
fn documents(run: &LaneRun<'_>, at: Instant) -> [(&'static str, Result<String, String>); 3] {
    let named = |end: &str| {
        let mut inputs = run.plan().authority.iter().filter(|input| input.kind != AuthorityKind::Handoff);
        inputs
            .find(|input| input.path.file_name().and_then(|name| name.to_str()) == Some(end))
            .map(|input| input.path.display().to_string())
            .ok_or_else(|| format!("the plan's Authority Inputs name no {end}; the closure note goes there"))
    };
    let stamp = at.rfc3339();
    let (year, month) = (stamp.get(..4).unwrap_or("-"), stamp.get(5..7).unwrap_or("-"));
    let day = stamp.get(..10).unwrap_or("-");
    [
        (MASTER, named("platform.build_plan.md")),
        (MAP, named("platform.impl_actual.md")),
        (LOGBOOK, Ok(format!("docs/logbook/{month}-{year}/{day}.md"))),
    ]
}

/// The text with the entry at its end, in the line endings of its last line.
fn with_entry(before: &str, entry: &Entry) -> String {
    let ending = match before.rfind('\n') {
        Some(at) if before.get(..at).is_some_and(|text| text.ends_with('\r')) => "\r\n",
        _ => "\n",
    };
    let stamp = entry.written_at.rfc3339();
    let mut lines = Vec::new();
    if !before.is_empty() {
        if !before.ends_with('\n') {
            lines.push(String::new());
        }
        lines.push(String::new());
    }
    let preflight = if entry.preflight { ", preflight" } else { "" };
    lines.push(format!(
        "## {stamp} - dev_full M3 closed by execution {} ({}{preflight})",
        entry.execution_id, entry.basis
    ));
    lines.push(String::new());
    lines.push(format!(
        "Run {} of {} is pinned; its config digest is {}.",
        entry.identity.platform_run_id, entry.identity.scenario_run_id, entry.identity.config_digest
    ));
    lines.push(format!("This entry is a note: only {} is final.", entry.verdict_key));
    lines.push(String::new());
    format!("{before}{}", lines.join(ending))
}

/// Writes a document whole: beside it first, then in its place.
fn replace(target: &Path, text: &str) -> std::io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(target).map(drop).map_err(|error| error.error)
}

/// What the plan parser sees in a document: boxes, Verify-IDs, codes, claims, and lines that it cannot place.
fn parsed(path: &str, text: &str) -> [usize; 5] {
    let parsed = plan::parse(Source::new(path, text.to_owned()), "dev_full");
    [
        parsed.plan.boxes.len(),
        parsed.plan.rows.len(),
        parsed.plan.codes.len(),
        parsed.plan.claims.len() + parsed.plan.registers.iter().map(|register| register.open.len()).sum::<usize>(),
        parsed.errors.len(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn entry() -> Entry {
        Entry {
            execution_id: "m3_20260223T174307Z".to_owned(),
            written_at: Instant::parse("2026-02-23T17:43:07Z").unwrap(),
            basis: "rehearsal",
            preflight: false,
            identity: Identity {
                platform_run_id: "platform_20260223T174307Z".to_owned(),
                scenario_run_id: "scenario_0".to_owned(),
                config_digest: "0".repeat(64),
            },
            verdict_key: "evidence/dev_full/run_control/m3_20260223T174307Z/verdict.json".to_owned(),
        }
    }

    #[rstest]
    #[case::empty("", "\n")]
    #[case::lf("# Log\n- [ ] a box\n", "\n")]
    #[case::crlf("# Log\r\ntext\r\n", "\r\n")]
    #[case::mixed_ends_crlf("# Log\ntext\r\n", "\r\n")]
    #[case::no_end("# Log\ntext", "\n")]
    fn an_entry_is_appended_in_the_documents_own_line_endings(#[case] before: &str, #[case] ending: &str) {
        let after = with_entry(before, &entry());
        assert!(after.starts_with(before));
        let added = &after[before.len()..];
        assert!(added.ends_with(ending));
        assert_eq!(added.matches('\n').count(), added.matches(ending).count());
        assert!(added.contains("only evidence/dev_full/run_control/m3_20260223T174307Z/verdict.json is final"));
        assert_eq!(parsed("platform.build_plan.md", before), parsed("platform.build_plan.md", &after));
    }

    #[test]
    fn two_entries_stand_below_each_other() {
        let once = with_entry("# Log\n", &entry());
        let twice = with_entry(&once, &Entry { execution_id: "m3_20260224T000000Z".to_owned(), ..entry() });
        assert!(twice.starts_with(&once));
        assert_eq!(twice.matches("## 2026").count(), 2);
    }
}
