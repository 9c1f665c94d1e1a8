//! What a plan asks now, in the form in which a lock pins it.

use std::collections::{BTreeMap, BTreeSet};

use super::form::{
    AuthorityPin, BoxPin, CodePin, FieldsPin, FilePin, Gate, HandlePin, LawPin, List, Placed, PredicatePin,
    PrerequisitePin, RecordPin, RegisterPin, RowPin,
};
use crate::evidence::digest::sha256_hex;
use crate::harness::bindings::Bindings;
use crate::plan::{AuthorityKind, Law, MatrixRow, Place, Plan, RecordEntry};
use crate::registry::{HandleError, Handles, SourceClass};
use crate::secrets;

/// What is pinned: a plan, the registry that it obeys, and the bindings of its boxes.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Registry and handoff.
    pub handles: &'a Handles,
    /// Which requirement each box's text is.
    pub bindings: &'a Bindings,
    /// Handles that the gate itself needs, whatever the plan lists.
    pub needed: [&'static str; 2],
    /// The records that proofs rest on: lane, and words of the label.
    pub records: Vec<(&'static str, &'static str)>,
}

/// What a plan asks now; opaque, to be compared with a lock or written as one.
#[derive(Debug, Clone)]
pub struct Pins(pub(super) Gate);

/// Reads off what a plan asks.
#[must_use]
pub fn pins_of(subject: &Subject<'_>) -> Pins {
    let plan = subject.plan;
    Pins(Gate {
        track: plan.track.clone(),
        phase: plan.phase.clone(),
        authority: authority(plan),
        boxes: boxes(plan, subject.bindings),
        rows: rows(plan),
        codes: codes(plan),
        laws: laws(plan),
        files: files(plan),
        fields: fields(plan),
        handles: handles(subject),
        prerequisites: prerequisites(plan),
        predicates: predicates(plan),
        records: records(subject),
        registers: registers(plan),
    })
}

impl Pins {
    /// How many things are pinned.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.boxes.len() + super::compare::entries(&self.0).len()
    }
}

fn authority(plan: &Plan) -> List<AuthorityPin> {
    let mut seen = BTreeSet::new();
    let kind = |kind: AuthorityKind| match kind {
        AuthorityKind::Registry => Some("registry"),
        AuthorityKind::Runbook => Some("runbook"),
        AuthorityKind::Handoff => Some("handoff"),
        AuthorityKind::Plan | AuthorityKind::Other => None,
    };
    plan.authority
        .iter()
        .filter_map(|input| Some((kind(input.kind)?, input)))
        .filter(|(_, input)| seen.insert(input.path.clone()))
        .map(|(kind, input)| {
            let pin = AuthorityPin { kind: kind.to_owned(), path: input.path.display().to_string() };
            Placed::new(pin, input.place.clone())
        })
        .collect()
}

fn boxes(plan: &Plan, bindings: &Bindings) -> List<BoxPin> {
    plan.boxes
        .iter()
        .map(|asked| {
            let lane = asked.lane.clone().unwrap_or_else(|| plan.phase.clone());
            let hash = asked.hash();
            let pin = BoxPin {
                requirement: bindings.requirement(&lane, &hash).map(str::to_owned),
                lane,
                kind: asked.kind.word().to_owned(),
                number: asked.number,
                hash,
                text: asked.normalised(),
            };
            Placed::new(pin, asked.place.clone())
        })
        .collect()
}

fn rows(plan: &Plan) -> List<RowPin> {
    plan.rows
        .iter()
        .map(|row| {
            let pin = RowPin {
                lane: row.lane.clone(),
                id: row.id.clone(),
                template: hash(&row.template),
                purpose: hash(&row.purpose),
            };
            Placed::new(pin, row.place.clone())
        })
        .collect()
}

fn codes(plan: &Plan) -> List<CodePin> {
    let mut seen = BTreeSet::new();
    plan.codes
        .iter()
        .filter(|code| seen.insert(code.code.clone()))
        .map(|code| {
            let pin = CodePin { code: code.code.clone(), meaning: hash(&code.meaning) };
            Placed::new(pin, code.place.clone())
        })
        .collect()
}

/// Laws of one name and lane are pinned as one: a plan may state its clauses in two lists.
fn laws(plan: &Plan) -> List<LawPin> {
    let mut merged: Vec<(&Law, Vec<&str>)> = Vec::new();
    for law in &plan.laws {
        let clauses = law.clauses.iter().map(String::as_str);
        match merged.iter_mut().find(|(known, _)| known.lane == law.lane && known.name == law.name) {
            Some((_, all)) => all.extend(clauses),
            None => merged.push((law, clauses.collect())),
        }
    }
    merged
        .into_iter()
        .map(|(law, clauses)| {
            let pin = LawPin {
                lane: law.lane.clone(),
                name: law.name.clone(),
                clauses: clauses.len(),
                hash: hash(&clauses.join("\n")),
            };
            Placed::new(pin, law.place.clone())
        })
        .collect()
}

/// A record in several lists under one label is pinned as one.
fn records(subject: &Subject<'_>) -> List<RecordPin> {
    let mut pinned: List<RecordPin> = Vec::new();
    for (lane, words) in &subject.records {
        let mut lines = Vec::new();
        let mut place = None;
        for record in subject.plan.records_about(lane, words) {
            place.get_or_insert_with(|| record.place.clone());
            read_lines(&record.entries, 0, &mut lines);
        }
        let Some(place) = place else { continue };
        let pin = RecordPin {
            lane: (*lane).to_owned(),
            about: (*words).to_owned(),
            lines: lines.len(),
            hash: hash(&lines.join("\n")),
        };
        pinned.push(Placed::new(pin, place));
    }
    pinned
}

fn read_lines(entries: &[RecordEntry], depth: usize, lines: &mut Vec<String>) {
    for entry in entries {
        lines.push(format!("{depth} {}", entry.text));
        read_lines(&entry.details, depth + 1, lines);
    }
}

fn files(plan: &Plan) -> List<FilePin> {
    let mut seen = BTreeSet::new();
    plan.contracts
        .iter()
        .flat_map(|contract| contract.files.iter().map(|file| (contract.lane.clone(), file)))
        .map(|(lane, file)| (FilePin { lane, file: file.path.clone().unwrap_or_else(|| file.name.clone()) }, file))
        .filter(|(pin, _)| seen.insert((pin.lane.clone(), pin.file.clone())))
        .map(|(pin, file)| Placed::new(pin, file.place.clone()))
        .collect()
}

fn fields(plan: &Plan) -> List<FieldsPin> {
    let contracts = plan.contracts.iter().flat_map(|contract| {
        contract.minimum_fields.iter().map(|list| {
            let of = list.file.clone().unwrap_or_else(|| "-".to_owned());
            (contract.lane.clone(), of, &list.fields, Vec::new(), list.place.clone())
        })
    });
    // The parser takes the list of a verdict's predicates for fields too; they are pinned as predicates.
    let predicate = |lane: &Option<String>, name: &String| {
        plan.predicates.iter().any(|known| known.lane == *lane && known.name == *name)
    };
    let fields_of_tasks =
        plan.task_fields.iter().filter(|task| !task.fields.iter().all(|name| predicate(&task.lane, name)));
    let tasks = fields_of_tasks.map(|task| {
        let of = task.file.clone().unwrap_or_else(|| task.task.trim_end_matches(':').to_owned());
        (task.lane.clone(), of, &task.fields, task.others.clone(), task.place.clone())
    });
    let mut merged: Vec<(FieldsPin, Place)> = Vec::new();
    for (lane, of, fields, others, place) in contracts.chain(tasks) {
        let names: BTreeSet<String> = fields.iter().chain(&others).cloned().collect();
        match merged.iter_mut().find(|(pin, _)| pin.lane == lane && pin.of == of) {
            Some((pin, _)) => {
                let all: BTreeSet<String> = pin.names.drain(..).chain(names).collect();
                pin.names = all.into_iter().collect();
            }
            None => merged.push((FieldsPin { lane, of, names: names.into_iter().collect() }, place)),
        }
    }
    merged.into_iter().map(|(pin, place)| Placed::new(pin, place)).collect()
}

/// The handles that a plan requires: the rows of its closure matrix that are handles; the entries of tasks that are
/// nothing but a handle's name; other names in tasks, and placeholders of command templates, that the registry knows.
fn required(subject: &Subject<'_>) -> BTreeMap<String, Place> {
    let plan = subject.plan;
    let known = |name: &str| subject.handles.registry().definitions_of(name).next().is_some();
    let mut required = BTreeMap::new();
    let mut require = |name: &str, place: &Place| {
        required.entry(name.to_owned()).or_insert_with(|| place.clone());
    };
    for row in plan.matrices.iter().filter(|row| is_handle(&row.handle)) {
        require(&row.handle, &row.place);
    }
    for task in plan.lanes.iter().flat_map(|lane| &lane.tasks) {
        for text in std::iter::once(&task.text).chain(&task.details) {
            for span in text.split('`').skip(1).step_by(2).filter(|span| is_handle(span)) {
                let alone = text.trim_end_matches(['.', ',', ';']) == format!("`{span}`");
                if alone || known(span) {
                    require(span, &task.place);
                }
            }
        }
    }
    for row in &plan.rows {
        let placeholders = row.template.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
        for (name, _) in placeholders.filter(|(name, _)| is_handle(name) && known(name)) {
            require(name, &row.place);
        }
    }
    for name in subject.needed.iter().filter(|name| known(name)) {
        require(name, &plan.source.place(1));
    }
    required
}

fn is_handle(text: &str) -> bool {
    text.contains('_')
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn handles(subject: &Subject<'_>) -> List<HandlePin> {
    let registry = subject.handles.registry();
    required(subject)
        .into_iter()
        .map(|(name, named_at)| {
            let place = registry
                .lines_of(&name)
                .first()
                .map_or(named_at, |line| Place { path: registry.path.as_path().into(), line: *line });
            let (value, unresolved) = match value_of(subject.handles, &name) {
                Ok(value) => (Some(value), None),
                Err(why) => (None, Some(why)),
            };
            Placed::new(HandlePin { name, value, unresolved }, place)
        })
        .collect()
}

/// The value as JSON; for a value that may not be used, a word for why, which never holds the value.
fn value_of(handles: &Handles, name: &str) -> Result<String, String> {
    let resolved = handles.resolve(name).map_err(|error| word(&error).to_owned())?;
    // What a run is told is no part of what the documents say.
    if resolved.source_class == SourceClass::Environment {
        return Err("declared without a value".to_owned());
    }
    let mut named = serde_json::Map::new();
    named.insert(name.to_owned(), resolved.value.clone());
    match secrets::scan_json(&serde_json::Value::Object(named)).first() {
        Some(hit) => Err(format!("secret ({})", hit.rule)),
        None => Ok(resolved.value.to_string()),
    }
}

fn word(error: &HandleError) -> &'static str {
    match error {
        HandleError::Missing { .. } => "missing",
        HandleError::Placeholder { .. } => "placeholder",
        HandleError::Ambiguous { .. } => "two values",
        HandleError::Bare { .. } => "declared without a value",
        HandleError::DanglingReference { .. } => "dangling reference",
        HandleError::ReferenceCycle { .. } => "reference cycle",
        HandleError::Unreadable { .. } => "unreadable",
        HandleError::Empty { .. } => "empty",
        HandleError::Contradiction { .. } => "sources disagree",
        HandleError::Sensitive { .. } => "sensitive",
        HandleError::WrongType { .. } => "wrong type",
    }
}

/// One for each name; where the matrix has two rows of a name, over both.
fn prerequisites(plan: &Plan) -> List<PrerequisitePin> {
    let content = |row: &MatrixRow| {
        [
            row.source_class.as_str(),
            row.source.as_str(),
            &row.verification.join(" "),
            row.secret_class.as_deref().unwrap_or("-"),
        ]
        .join("\n")
    };
    let mut merged: Vec<(&str, String, &Place)> = Vec::new();
    for row in &plan.matrices {
        match merged.iter_mut().find(|(name, ..)| *name == row.handle) {
            Some((_, text, _)) => {
                text.push('\n');
                text.push_str(&content(row));
            }
            None => merged.push((&row.handle, content(row), &row.place)),
        }
    }
    merged
        .into_iter()
        .map(|(name, text, place)| {
            Placed::new(PrerequisitePin { name: name.to_owned(), hash: hash(&text) }, place.clone())
        })
        .collect()
}

fn predicates(plan: &Plan) -> List<PredicatePin> {
    let mut seen = BTreeSet::new();
    plan.predicates
        .iter()
        .filter(|predicate| seen.insert((predicate.lane.clone(), predicate.name.clone())))
        .map(|predicate| {
            let pin = PredicatePin { lane: predicate.lane.clone(), name: predicate.name.clone() };
            Placed::new(pin, predicate.place.clone())
        })
        .collect()
}

fn registers(plan: &Plan) -> List<RegisterPin> {
    plan.registers
        .iter()
        .enumerate()
        .map(|(index, register)| {
            let pin = RegisterPin { number: index + 1, must_be_empty: register.must_be_empty };
            Placed::new(pin, register.place.clone())
        })
        .collect()
}

fn hash(text: &str) -> String {
    sha256_hex(text.as_bytes())
}
