//! One execution for many processes. Under nextest each case is a process of its own: the first to take the lock runs the
//! lanes, and all others judge from what it stored.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exit::Exit;
use crate::evidence::canonical;
use crate::evidence::digest::sha256_hex;

/// The folder below the output folder in which processes find each other.
const FOLDER: &str = ".nextest";
/// Who holds this runs the lanes, or has run them.
const LOCK: &str = "lock";
/// That lanes were begun: they are never run twice under one run id.
const BEGUN: &str = "begun";
/// What the execution came to.
const DONE: &str = "done.json";

/// What the process that ran the lanes says to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    /// The execution, by its folder and its id.
    Execution { folder: PathBuf, id: String },
    /// There is none, and how a gate ends that fails so.
    Failed { why: String, exit: Exit },
}

/// The place where the processes of one run meet: another run, or one with any other input, has another.
#[derive(Debug)]
pub(super) struct Meeting {
    folder: PathBuf,
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Turn {
    /// This process runs the lanes, and says what came of it.
    Ours(Holder),
    /// They were run.
    Done(Done),
    /// The process that ran them ended before it could say anything.
    Died,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Holder {
    folder: PathBuf,
    _lock: File,
}

impl Meeting {
    /// Of the run `run_id` over `inputs`: everything that the outcome depends on, as JSON.
    ///
    /// # Errors
    /// When the inputs have no canonical form.
    pub(super) fn of(out: &Path, run_id: &str, inputs: &Value) -> Result<Self, canonical::CanonicalError> {
        let key = serde_json::json!({ "run": run_id, "inputs": inputs });
        let key = sha256_hex(&canonical::to_bytes(&key)?);
        Ok(Self { folder: out.join(FOLDER).join(key) })
    }

    /// Waits for its turn. The lock of a process that dies is free.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn enter(&self) -> io::Result<Turn> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.folder.join(LOCK))?;
        lock.lock()?;
        match fs::read(self.folder.join(DONE)) {
            Ok(bytes) => {
                let done = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
                return Ok(Turn::Done(done));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let begun = self.folder.join(BEGUN);
        match File::create_new(&begun) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Turn::Died),
            Err(error) => return Err(error),
        }
        Ok(Turn::Ours(Holder { folder: self.folder.clone(), _lock: lock }))
    }
}

impl Holder {
    /// Tells the others, and lets them go on.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(super) fn says(self, done: &Done) -> io::Result<()> {
        let temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&temporary, done).map_err(io::Error::other)?;
        temporary.as_file().sync_all()?;
        temporary.persist(self.folder.join(DONE)).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn done() -> Done {
        Done::Execution { folder: "m3_1".into(), id: "m3_1".to_owned() }
    }

    #[test]
    fn one_has_the_turn_and_the_others_hear_what_it_says() {
        let out = tempfile::tempdir().unwrap();
        let meeting = Meeting::of(out.path(), "run", &json!({ "plan": "a" })).unwrap();
        let Turn::Ours(holder) = meeting.enter().unwrap() else { panic!("the first has the turn") };
        holder.says(&done()).unwrap();
        for _ in 0..2 {
            assert!(matches!(meeting.enter().unwrap(), Turn::Done(said) if said == done()));
        }
    }

    #[test]
    fn who_ends_without_a_word_has_died() {
        let out = tempfile::tempdir().unwrap();
        let meeting = Meeting::of(out.path(), "run", &json!({})).unwrap();
        drop(meeting.enter().unwrap());
        assert!(matches!(meeting.enter().unwrap(), Turn::Died));
    }

    #[test]
    fn another_run_or_another_input_is_another_meeting() {
        let out = tempfile::tempdir().unwrap();
        let of = |run: &str, plan: &str| Meeting::of(out.path(), run, &json!({ "plan": plan })).unwrap();
        for meeting in [of("one", "a"), of("two", "a"), of("one", "b")] {
            assert!(matches!(meeting.enter().unwrap(), Turn::Ours(_)));
        }
    }
}
