//! An edit of a file: one text, found exactly once, replaced.

use std::path::Path;

use serde::Deserialize;

/// Replaces `find` in `path`, which must occur there once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, relative to the folder that is edited.
    pub path: String,
    /// The text; all of the file where it is left out.
    pub find: Option<String>,
    /// What stands there afterwards; the file is removed where this is left out and `find` too.
    pub replace: Option<String>,
}

impl Edit {
    /// Carries it out below `root`.
    pub fn apply(&self, root: &Path) -> Result<(), String> {
        let path = root.join(&self.path);
        let at = |e: std::io::Error| format!("{}: {e}", self.path);
        let Some(find) = &self.find else {
            return match &self.replace {
                None => std::fs::remove_file(&path).map_err(at),
                Some(text) => std::fs::write(&path, text).map_err(at),
            };
        };
        let text = std::fs::read_to_string(&path).map_err(at)?;
        let count = text.matches(find.as_str()).count();
        if count != 1 {
            return Err(format!("{}: `{find}` occurs {count} times, an edit needs one", self.path));
        }
        let replace = self.replace.as_deref().unwrap_or_default();
        std::fs::write(&path, text.replacen(find.as_str(), replace, 1)).map_err(at)
    }
}
