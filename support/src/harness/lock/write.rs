//! Writing a lock anew: what would change by it, and the file itself.

use std::io::Write as _;
use std::path::Path;

use super::compare::{Change, Difference, Kind, differences};
use super::form::{Form, Gate, Placed};
use super::pins::Pins;
use super::{Lock, LockError, NAME, VERSION, check_account};
use crate::plan::Place;
use crate::secrets;

const HEAD: &str = "\
# What the gates of this repository obey. `phasegate lock` writes this file; CI never does.
# A gate holds while a plan or its registry says something else. Only [[binding]] is written by hand.

";

/// A lock as it would be written, and how it differs from the one that stands.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Each difference, with the track and phase that it is of; empty when the lock is up to date.
    pub differences: Vec<(String, Difference)>,
    text: String,
}

/// What the lock would be for these plans. `phases` are those that were looked for: what the old lock pins for another
/// phase stays as it is; what it pins for one of these, and no plan has, goes. An account that is given takes the place
/// of the pinned one.
///
/// # Errors
/// When the account is none, or the file would hold what looks like a secret.
pub fn propose(
    old: Option<&Lock>,
    plans: &[Pins],
    phases: &[&str],
    account: Option<&str>,
) -> Result<Proposal, LockError> {
    if let Some(account) = account {
        check_account(account)?;
    }
    let mut found = Vec::new();
    found.extend(account_difference(old, account).map(|d| ("-".to_owned(), d)));
    let place = |at: &super::form::At| match (at, old) {
        (super::form::At::Place(place), _) => place.clone(),
        (_, Some(lock)) => lock.place(at),
        (_, None) => Place { path: Path::new(NAME).into(), line: 1 },
    };
    let mut gates: Vec<Placed<Gate>> = Vec::new();
    for pins in plans {
        let name = format!("{} {}", pins.0.track, pins.0.phase);
        let stands = old.and_then(|lock| lock.gate(&pins.0.track, &pins.0.phase));
        let nothing = empty(&pins.0);
        let was = stands.map_or(&nothing, |gate| &gate.value);
        found.extend(differences(was, &pins.0, &place).into_iter().map(|d| (name.clone(), d)));
        gates.push(Placed::new(pins.0.clone(), Place { path: Path::new(NAME).into(), line: 1 }));
    }
    for gate in old.map_or(&[][..], |lock| &lock.form.gates) {
        let is = &gate.value;
        if gates.iter().any(|g| g.value.track == is.track && g.value.phase == is.phase) {
            continue;
        }
        if phases.contains(&is.phase.as_str()) {
            let name = format!("{} {}", is.track, is.phase);
            found.push((name.clone(), gone(Kind::Gate, name, "pinned", place(&gate.at), true)));
        } else {
            gates.push(gate.clone());
        }
    }
    gates.sort_by(|one, other| (&one.value.track, &one.value.phase).cmp(&(&other.value.track, &other.value.phase)));
    let asked: Vec<(String, String)> = gates
        .iter()
        .flat_map(|gate| &gate.value.boxes)
        .map(|asked| (asked.value.lane.clone(), asked.value.hash.clone()))
        .collect();
    let mut bindings = Vec::new();
    for binding in old.map_or(&[][..], |lock| &lock.form.bindings) {
        if asked.contains(&(binding.value.lane.clone(), binding.value.hash.clone())) {
            bindings.push(binding.clone());
        } else {
            let key = format!("{} \"{}\"", binding.value.lane, binding.value.text);
            found.push((
                "-".to_owned(),
                gone(Kind::Binding, key, &binding.value.requirement, place(&binding.at), false),
            ));
        }
    }
    let kept = old.and_then(|lock| lock.form.account.clone());
    let account =
        account.map(|id| Placed::new(id.to_owned(), Place { path: Path::new(NAME).into(), line: 1 })).or(kept);
    let form = Form { version: VERSION, account, bindings, gates };
    let text = format!("{HEAD}{}", toml::to_string_pretty(&form)?);
    refuse_secrets(&text)?;
    Ok(Proposal { differences: found, text })
}

impl Proposal {
    /// Whether the gates would ask less than before.
    #[must_use]
    pub fn relaxes(&self) -> bool {
        self.differences.iter().any(|(_, difference)| difference.relaxed)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes the file at the root of a plan repository: whole, or not at all.
    ///
    /// # Errors
    /// When it cannot be written; what stood there stays.
    pub fn write(&self, root: &Path) -> Result<(), LockError> {
        let path = root.join(NAME);
        let failed = |source| LockError::Unwritable { path: path.clone(), source };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".phasegate-unfinished-");
        #[cfg(unix)]
        {
            // The lock is there to be read and committed; the umask still applies.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o644));
        }
        let mut file = builder.tempfile_in(root).map_err(failed)?;
        file.write_all(self.text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn refuse_secrets(text: &str) -> Result<(), LockError> {
    let hits = secrets::scan_bytes(text.as_bytes());
    if hits.is_empty() {
        return Ok(());
    }
    let lines: Vec<&str> = text.lines().collect();
    let named = hits.iter().map(|hit| {
        let line = hit.at.split(':').next().and_then(|line| line.parse::<usize>().ok());
        // Only the key of the line is shown, where it is one of the format's own.
        let key = line
            .and_then(|line| lines.get(line.saturating_sub(1)))
            .and_then(|text| text.split_once(" = "))
            .map(|(key, _)| key)
            .filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase()));
        format!("{} in a `{}`", hit.rule, key.unwrap_or("value"))
    });
    Err(LockError::Secret { hits: named.collect::<Vec<_>>().join(", ") })
}

fn account_difference(old: Option<&Lock>, account: Option<&str>) -> Option<Difference> {
    let account = account?;
    let was = old.and_then(|lock| lock.form.account.as_ref().map(|pinned| (lock, pinned)));
    let base = Difference {
        kind: Kind::Account,
        key: String::new(),
        change: Change::Added,
        relaxed: false,
        old: None,
        new: Some(account.to_owned()),
        locked_at: None,
        stands_at: None,
    };
    match was {
        None => Some(base),
        Some((_, pinned)) if pinned.value == account => None,
        Some((lock, pinned)) => Some(Difference {
            change: Change::Changed,
            relaxed: true,
            old: Some(pinned.value.clone()),
            locked_at: Some(lock.place(&pinned.at)),
            ..base
        }),
    }
}

fn gone(kind: Kind, key: String, old: &str, place: Place, relaxed: bool) -> Difference {
    Difference {
        kind,
        key,
        change: Change::Removed,
        relaxed,
        old: Some(old.to_owned()),
        new: None,
        locked_at: Some(place),
        stands_at: None,
    }
}

fn empty(of: &Gate) -> Gate {
    Gate {
        track: of.track.clone(),
        phase: of.phase.clone(),
        authority: Vec::new(),
        boxes: Vec::new(),
        rows: Vec::new(),
        codes: Vec::new(),
        laws: Vec::new(),
        files: Vec::new(),
        fields: Vec::new(),
        handles: Vec::new(),
        prerequisites: Vec::new(),
        predicates: Vec::new(),
        records: Vec::new(),
        registers: Vec::new(),
    }
}
