//! A plan against its lock: what is new, what says something else, what is gone.

use std::collections::BTreeMap;

use super::Lock;
use super::form::{At, BoxPin, Gate, Placed};
use super::pins::Pins;
use crate::plan::Place;

/// The kind of a pinned thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The account of live runs.
    Account,
    /// A binding of the repository's own.
    Binding,
    /// A whole phase of a track.
    Gate,
    /// A registry, runbook or handoff that the plan obeys.
    Authority,
    /// A box.
    Box,
    /// A Verify-ID row.
    Row,
    /// A blocker code.
    Code,
    /// A decision law.
    Law,
    /// A file of the evidence contract.
    File,
    /// A minimum field.
    Field,
    /// A required handle and its value.
    Handle,
    /// A row of the handle closure matrix.
    Prerequisite,
    /// A predicate of the verdict.
    Predicate,
    /// A record that a proof rests on.
    Record,
    /// A blocker register.
    Register,
}

impl Kind {
    /// The word for it in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Binding => "binding",
            Self::Gate => "gate",
            Self::Authority => "authority input",
            Self::Box => "box",
            Self::Row => "row",
            Self::Code => "code",
            Self::Law => "law",
            Self::File => "evidence file",
            Self::Field => "minimum field",
            Self::Handle => "handle",
            Self::Prerequisite => "prerequisite",
            Self::Predicate => "predicate",
            Self::Record => "record",
            Self::Register => "register",
        }
    }
}

/// How plan and lock differ in one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// In the plan, not in the lock.
    Added,
    /// The lock pins another content than the plan has now.
    Changed,
    /// In the lock, no longer in the plan.
    Removed,
    /// A box that only has another number now; it holds nothing.
    Renumbered,
}

/// One thing in which plan and lock differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What kind of thing.
    pub kind: Kind,
    /// Which one: `M3.A dod-1`, `M3-B4`, `M3.D run.json: config_digest`.
    pub key: String,
    /// How.
    pub change: Change,
    /// Whether the gate would ask less.
    pub relaxed: bool,
    /// What the lock says.
    pub old: Option<String>,
    /// What the plan says.
    pub new: Option<String>,
    /// The lock's line.
    pub locked_at: Option<Place>,
    /// The plan's line, or the registry's.
    pub stands_at: Option<Place>,
}

impl Difference {
    /// `relaxed`, `added` or `changed`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.change {
            _ if self.relaxed => "relaxed",
            Change::Added => "added",
            Change::Changed | Change::Removed | Change::Renumbered => "changed",
        }
    }

    /// Where to look: in the plan, else in the lock.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.stands_at.as_ref().or(self.locked_at.as_ref())
    }

    /// What it is and what became of it, without a place.
    #[must_use]
    pub fn what(&self) -> String {
        let name = format!("{} {}", self.kind.word(), self.key);
        // There is only one account, and it has no key.
        let name = name.trim_end();
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{name}: {old} -> {new}"),
            (None, Some(new)) => format!("{name}: {new}"),
            (Some(old), None) => format!("{name}: {old} -> gone"),
            (None, None) => name.to_owned(),
        }
    }
}

/// A pinned thing that is told by its key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub kind: Kind,
    pub key: String,
    pub says: String,
    /// How much it asks; less than before is a relaxation.
    pub asks: usize,
    pub at: At,
}

/// Everything that a gate pins, but for its boxes.
pub(super) fn entries(gate: &Gate) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut push = |kind, key: String, says: String, asks, at: &At| {
        all.push(Entry { kind, key, says, asks, at: at.clone() });
    };
    for Placed { value, at } in &gate.authority {
        push(Kind::Authority, value.path.clone(), value.kind.clone(), 0, at);
    }
    for Placed { value, at } in &gate.rows {
        let says = format!("template {}, purpose {}", short(&value.template), short(&value.purpose));
        push(Kind::Row, format!("{} {}", value.lane, value.id), says, 0, at);
    }
    for Placed { value, at } in &gate.codes {
        push(Kind::Code, value.code.clone(), format!("meaning {}", short(&value.meaning)), 0, at);
    }
    for Placed { value, at } in &gate.laws {
        let says = format!("{} clause(s), {}", value.clauses, short(&value.hash));
        push(Kind::Law, in_lane(&value.lane, &value.name), says, value.clauses, at);
    }
    for Placed { value, at } in &gate.files {
        push(Kind::File, in_lane(&value.lane, &value.file), "asked for".to_owned(), 0, at);
    }
    for Placed { value, at } in &gate.fields {
        for name in &value.names {
            let key = format!("{}: {name}", in_lane(&value.lane, &value.of));
            push(Kind::Field, key, "asked for".to_owned(), 0, at);
        }
    }
    for Placed { value, at } in &gate.handles {
        let says = match (&value.value, &value.unresolved) {
            (Some(value), None) => value.clone(),
            (None, Some(why)) => format!("unresolved, {why}"),
            (None, None) => "unresolved".to_owned(),
            (Some(value), Some(why)) => format!("{value}, and unresolved, {why}"),
        };
        push(Kind::Handle, value.name.clone(), says, 0, at);
    }
    for Placed { value, at } in &gate.prerequisites {
        push(Kind::Prerequisite, value.name.clone(), format!("source {}", short(&value.hash)), 0, at);
    }
    for Placed { value, at } in &gate.predicates {
        push(Kind::Predicate, in_lane(&value.lane, &value.name), "evaluated".to_owned(), 0, at);
    }
    for Placed { value, at } in &gate.records {
        let says = format!("{} line(s), {}", value.lines, short(&value.hash));
        push(Kind::Record, format!("{} {}", value.lane, value.about), says, value.lines, at);
    }
    for Placed { value, at } in &gate.registers {
        let says = if value.must_be_empty { "must be empty" } else { "may list open entries" };
        push(Kind::Register, value.number.to_string(), says.to_owned(), usize::from(value.must_be_empty), at);
    }
    all
}

fn in_lane(lane: &Option<String>, name: &str) -> String {
    lane.as_ref().map_or_else(|| name.to_owned(), |lane| format!("{lane} {name}"))
}

/// The head of a hash: enough to see that two differ, which whole ones were compared for.
fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}

impl Lock {
    /// How a plan differs from what is pinned for it; none when nothing is pinned for it.
    #[must_use]
    pub fn compare(&self, pins: &Pins) -> Option<Vec<Difference>> {
        let gate = self.gate(&pins.0.track, &pins.0.phase)?;
        Some(differences(&gate.value, &pins.0, &|at| self.place(at)))
    }
}

/// How two states of one gate differ: boxes first, then the rest, each in the order of the plan, then of the lock.
pub(super) fn differences(old: &Gate, new: &Gate, place: &dyn Fn(&At) -> Place) -> Vec<Difference> {
    let mut found = box_differences(&old.boxes, &new.boxes, place);
    let (old, new) = (entries(old), entries(new));
    let by_key: BTreeMap<(Kind, &str), &Entry> = old.iter().map(|e| ((e.kind, e.key.as_str()), e)).collect();
    for entry in &new {
        let difference = match by_key.get(&(entry.kind, entry.key.as_str())) {
            Some(was) if was.says == entry.says => continue,
            Some(was) => Difference {
                change: Change::Changed,
                relaxed: entry.asks < was.asks,
                ..of_entries(Some(was), Some(entry), place)
            },
            None => of_entries(None, Some(entry), place),
        };
        found.push(difference);
    }
    for entry in &old {
        if !new.iter().any(|now| now.kind == entry.kind && now.key == entry.key) {
            found.push(of_entries(Some(entry), None, place));
        }
    }
    found
}

fn of_entries(old: Option<&Entry>, new: Option<&Entry>, place: &dyn Fn(&At) -> Place) -> Difference {
    let gone = new.is_none();
    let named = new.or(old);
    Difference {
        kind: named.map_or(Kind::Gate, |e| e.kind),
        key: named.map_or_else(String::new, |e| e.key.clone()),
        change: if gone { Change::Removed } else { Change::Added },
        relaxed: gone,
        old: old.map(|e| e.says.clone()),
        new: new.map(|e| e.says.clone()),
        locked_at: old.map(|e| place(&e.at)),
        stands_at: new.map(|e| place(&e.at)),
    }
}

/// Boxes are told by the hash of their text within their lane and kind. What is left over on both sides under one number
/// is one box that changed; everything else left over came or went.
fn box_differences(old: &[Placed<BoxPin>], new: &[Placed<BoxPin>], place: &dyn Fn(&At) -> Place) -> Vec<Difference> {
    let mut left: Vec<&Placed<BoxPin>> = old.iter().collect();
    let mut take =
        |found: &dyn Fn(&BoxPin) -> bool| left.iter().position(|was| found(&was.value)).map(|index| left.remove(index));
    let listed = |was: &BoxPin, now: &BoxPin| was.lane == now.lane && was.kind == now.kind;
    let mut pairs: Vec<Option<&Placed<BoxPin>>> = Vec::with_capacity(new.len());
    // Texts that stand twice keep their numbers if they can.
    for now in new {
        let now = &now.value;
        pairs.push(take(&|was| listed(was, now) && was.hash == now.hash && was.number == now.number));
    }
    for (now, pair) in new.iter().zip(pairs.iter_mut()).filter(|(_, pair)| pair.is_none()) {
        *pair = take(&|was| listed(was, &now.value) && was.hash == now.value.hash);
    }
    for (now, pair) in new.iter().zip(pairs.iter_mut()).filter(|(_, pair)| pair.is_none()) {
        *pair = take(&|was| listed(was, &now.value) && was.number == now.value.number);
    }
    let mut found: Vec<Difference> =
        new.iter().zip(&pairs).filter_map(|(now, was)| box_difference(*was, now, place)).collect();
    found.extend(left.into_iter().map(|was| Difference {
        kind: Kind::Box,
        key: was.value.name(),
        change: Change::Removed,
        relaxed: true,
        old: Some(quoted(&was.value)),
        new: None,
        locked_at: Some(place(&was.at)),
        stands_at: None,
    }));
    found
}

fn box_difference(
    was: Option<&Placed<BoxPin>>,
    now: &Placed<BoxPin>,
    place: &dyn Fn(&At) -> Place,
) -> Option<Difference> {
    let base = Difference {
        kind: Kind::Box,
        key: now.value.name(),
        change: Change::Changed,
        relaxed: false,
        old: None,
        new: Some(quoted(&now.value)),
        locked_at: was.map(|was| place(&was.at)),
        stands_at: Some(place(&now.at)),
    };
    let Some(was) = was.map(|was| &was.value) else {
        return Some(Difference { change: Change::Added, ..base });
    };
    let bound = |pin: &BoxPin| match &pin.requirement {
        Some(requirement) => format!("bound to {requirement}"),
        None => "unbound".to_owned(),
    };
    let moved = was.requirement != now.value.requirement;
    // A text that is bound to something else is judged by something else: perhaps by less.
    let relaxed = moved && was.requirement.is_some() && now.value.requirement.is_some() && was.hash == now.value.hash;
    match (was.hash == now.value.hash, moved) {
        (true, false) if was.number == now.value.number => None,
        (true, false) => {
            Some(Difference { change: Change::Renumbered, old: Some(was.name()), new: Some(now.value.name()), ..base })
        }
        (true, true) => Some(Difference { relaxed, old: Some(bound(was)), new: Some(bound(&now.value)), ..base }),
        (false, _) => Some(Difference {
            old: Some(format!("{}, {}", quoted(was), bound(was))),
            new: Some(format!("{}, {}", quoted(&now.value), bound(&now.value))),
            ..base
        }),
    }
}

fn quoted(pin: &BoxPin) -> String {
    format!("\"{}\"", pin.text)
}
