//! The build context: what the engine is sent, by the rules of `.dockerignore`.
//!
//! As BuildKit reads them: patterns are rooted at the context, `**` stands for any folders, `!` takes a path back in, also below a folder
//! that is kept out, and of the patterns that are asked the last one that matches decides. One that matched a folder goes on for all below
//! it, unless it was not asked there, since the folder was kept out already. The Dockerfile itself is always sent, for the engine reads it
//! there. Symbolic links are sent as links and never followed.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use super::names::rule_of_file;
use crate::evidence::digest::sha256_hex;
use crate::secrets::{Hit, scan_bytes};

/// The file that says what is kept out; one beside the Dockerfile, under its name, goes before it.
const IGNORE: &str = ".dockerignore";

/// A context is held in memory while it is sent.
const LARGEST: u64 = 1 << 30;

/// Why a context cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A name is no text.
    #[error("{path}: the name is not UTF-8; rename it, or keep it out by {IGNORE}")]
    Name {
        /// The path, as far as it can be shown.
        path: PathBuf,
    },
    /// It is neither file, folder nor link.
    #[error("{path} is neither a file, a folder nor a link; keep it out by {IGNORE}")]
    Kind {
        /// The path.
        path: PathBuf,
    },
    /// It is more than is sent.
    #[error("{path}: the files that are sent have {size} bytes, more than {LARGEST}; keep some out by {IGNORE}")]
    Large {
        /// The context's folder.
        path: PathBuf,
        /// As many bytes as were counted.
        size: u64,
    },
    /// A pattern cannot be read.
    #[error("{path}:{line}: `{pattern}` is no pattern: {why}")]
    Pattern {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The pattern.
        pattern: String,
        /// Why.
        why: String,
    },
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

/// One path that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the context, with `/`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The size of a file in bytes.
    pub size: u64,
    /// Whether it may be executed; all else about its rights is left to the image.
    pub executable: bool,
    /// Of a file's content, or of the path that a link leads to.
    pub sha256: Option<String>,
}

/// A file that is sent and that holds a secret, by its name or by what stands in it. The value is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFile {
    /// The path.
    pub path: String,
    /// What was found, and where; `name` where its name alone says it.
    pub hit: Hit,
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.hit)
    }
}

/// A build context.
#[derive(Debug, Clone)]
pub struct Context {
    folder: PathBuf,
    entries: Vec<Entry>,
    digest: String,
}

impl Context {
    /// What is sent of `folder` for a build by `dockerfile`, a path in it.
    ///
    /// # Errors
    /// [`ContextError`] names the path.
    pub fn of_build(folder: &Path, dockerfile: &str) -> Result<Self, ContextError> {
        Self::read(folder, &Patterns::of(folder, dockerfile)?)
    }

    /// All of a folder.
    ///
    /// # Errors
    /// [`ContextError`] names the path.
    pub fn of_folder(folder: &Path) -> Result<Self, ContextError> {
        Self::read(folder, &Patterns::none())
    }

    fn read(folder: &Path, patterns: &Patterns) -> Result<Self, ContextError> {
        let mut entries = Vec::new();
        let mut folders = BTreeSet::new();
        let mut total = 0;
        for found in WalkDir::new(folder).min_depth(1).follow_links(false).sort_by_file_name() {
            let found = found.map_err(|error| {
                let path = error.path().unwrap_or(folder).to_owned();
                ContextError::Read { path, source: error.into() }
            })?;
            let full = found.path();
            let relative = full.strip_prefix(folder).unwrap_or(full);
            let path = relative.to_str().ok_or_else(|| ContextError::Name { path: relative.to_owned() })?;
            if patterns.keep_out(path) {
                continue;
            }
            let kind = found.file_type();
            if kind.is_dir() {
                continue;
            }
            let mut above = Path::new(path).parent();
            while let Some(folder) = above.filter(|folder| !folder.as_os_str().is_empty()) {
                folders.insert(folder.to_string_lossy().into_owned());
                above = folder.parent();
            }
            let size = found.metadata().map_or(0, |about| about.len());
            total += if kind.is_file() { size } else { 0 };
            if total > LARGEST {
                return Err(ContextError::Large { path: folder.to_owned(), size: total });
            }
            entries.push(entry(full, path, kind)?);
        }
        entries.extend(folders.into_iter().map(|path| Entry {
            path,
            kind: Kind::Folder,
            size: 0,
            executable: true,
            sha256: None,
        }));
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut digest = Sha256::new();
        for entry in &entries {
            let Entry { path, kind, executable, sha256, .. } = entry;
            digest.update(format!("{path}\0{kind:?}\0{executable}\0{}\n", sha256.as_deref().unwrap_or("-")));
        }
        let digest = format!("sha256:{}", hex::encode(digest.finalize()));
        Ok(Self { folder: folder.to_owned(), entries, digest })
    }

    /// What is sent, by path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The digest of all that is sent: paths, kinds, rights to execute, contents.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// A tar of all that is sent. The same content gives the same bytes, whenever and by whomever it was written.
    ///
    /// # Errors
    /// When a file cannot be read any more, or has another content by now.
    pub fn tar(&self) -> Result<Vec<u8>, ContextError> {
        let mut archive = tar::Builder::new(Vec::new());
        for entry in &self.entries {
            let full = self.folder.join(&entry.path);
            let unreadable = |source| ContextError::Read { path: full.clone(), source };
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mode(if entry.executable { 0o755 } else { 0o644 });
            header.set_size(0);
            match entry.kind {
                Kind::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    archive
                        .append_data(&mut header, format!("{}/", entry.path), std::io::empty())
                        .map_err(unreadable)?;
                }
                Kind::Link => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    let to = std::fs::read_link(&full).map_err(unreadable)?;
                    archive.append_link(&mut header, &entry.path, to).map_err(unreadable)?;
                }
                Kind::File => {
                    let bytes = self.bytes(entry)?;
                    header.set_size(bytes.len() as u64);
                    archive.append_data(&mut header, &entry.path, bytes.as_slice()).map_err(unreadable)?;
                }
            }
        }
        let whole = archive.into_inner();
        whole.map_err(|source| ContextError::Read { path: self.folder.clone(), source })
    }

    /// A file's content, which must still be the one that was looked at.
    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, ContextError> {
        let path = self.folder.join(&entry.path);
        let read = std::fs::read(&path).and_then(|bytes| match Some(sha256_hex(&bytes)) == entry.sha256 {
            true => Ok(bytes),
            false => Err(std::io::Error::other("it changed while it was read")),
        });
        read.map_err(|source| ContextError::Read { path, source })
    }

    /// The files that are sent and hold a secret.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn secret_files(&self) -> Result<Vec<SecretFile>, ContextError> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.kind != Kind::Folder) {
            if let Some(rule) = rule_of_file(&entry.path) {
                let hit = Hit { rule: rule.to_owned(), at: "name".to_owned() };
                found.push(SecretFile { path: entry.path.clone(), hit });
            }
            if entry.kind == Kind::File {
                let hits = scan_bytes(&self.bytes(entry)?).into_iter();
                found.extend(hits.map(|hit| SecretFile { path: entry.path.clone(), hit }));
            }
        }
        Ok(found)
    }
}

fn entry(full: &Path, path: &str, kind: std::fs::FileType) -> Result<Entry, ContextError> {
    let unreadable = |source| ContextError::Read { path: full.to_owned(), source };
    let (kind, size, executable, sha256) = if kind.is_symlink() {
        let to = std::fs::read_link(full).map_err(unreadable)?;
        (Kind::Link, 0, false, sha256_hex(to.as_os_str().as_encoded_bytes()))
    } else if kind.is_file() {
        let mut file = std::fs::File::open(full).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        (Kind::File, bytes.len() as u64, about.permissions().mode() & 0o111 != 0, sha256_hex(&bytes))
    } else {
        return Err(ContextError::Kind { path: full.to_owned() });
    };
    Ok(Entry { path: path.to_owned(), kind, size, executable, sha256: Some(sha256) })
}

/// The patterns of `.dockerignore`, in order; whether each takes back in.
#[derive(Debug)]
struct Patterns(Vec<(Regex, bool)>);

impl Patterns {
    fn none() -> Self {
        Self(Vec::new())
    }

    fn of(folder: &Path, dockerfile: &str) -> Result<Self, ContextError> {
        let own = folder.join(format!("{dockerfile}{IGNORE}"));
        let path = if own.is_file() { own } else { folder.join(IGNORE) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ContextError::Read { path, source }),
        };
        let mut patterns = Self::parse(&text, &path)?;
        patterns.0.push((exactly(dockerfile).map_err(|why| bad(&path, 0, dockerfile, &why))?, true));
        Ok(patterns)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ContextError> {
        let mut patterns = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate() {
            // Only at the very beginning of a line is it a comment.
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (pattern, back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let pattern = cleaned(pattern);
            if pattern.is_empty() {
                continue;
            }
            let regex = expression(&pattern).map_err(|why| bad(path, number + 1, line, &why))?;
            patterns.push((regex, back));
        }
        Ok(Self(patterns))
    }

    /// Whether a path is kept out, as it is decided folder by folder on the way to it.
    fn keep_out(&self, path: &str) -> bool {
        let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([path.len()]);
        let mut above = vec![false; self.0.len()];
        let mut out = false;
        for part in ends.filter_map(|end| path.get(..end)) {
            out = false;
            let mut here = Vec::with_capacity(self.0.len());
            for ((regex, back), matched_above) in self.0.iter().zip(&above) {
                // A pattern that could change nothing is not asked, and so says nothing of what lies below.
                let matches = *matched_above || (*back == out && regex.is_match(part));
                if matches {
                    out = !back;
                }
                here.push(matches);
            }
            above = here;
        }
        out
    }
}

fn bad(path: &Path, line: usize, pattern: &str, why: &str) -> ContextError {
    ContextError::Pattern { path: path.to_owned(), line, pattern: pattern.to_owned(), why: why.to_owned() }
}

/// A pattern without `.`, empty parts, slashes at its ends, and `..` where there is something to leave. One that begins with `..` leads out
/// of the context and matches nothing in it.
fn cleaned(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn exactly(path: &str) -> Result<Regex, String> {
    Regex::new(&format!("^{}$", regex::escape(&cleaned(path)))).map_err(|error| error.to_string())
}

/// The regular expression of a pattern.
fn expression(pattern: &str) -> Result<Regex, String> {
    let mut out = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                let slash = rest.next_if_eq(&'/').is_some();
                // At the beginning, with nothing wild behind it, any end of a name will do: `**.env` takes `prod.env`.
                let any_end = out == "^" && !slash && !rest.clone().any(|c| matches!(c, '*' | '?' | '[' | '\\'));
                out.push_str(if rest.peek().is_none() || any_end { ".*" } else { "(?:.*/)?" });
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => {
                out.push('[');
                let mut closed = false;
                for inside in rest.by_ref() {
                    out.push(inside);
                    if inside == ']' {
                        closed = true;
                        break;
                    }
                }
                if !closed {
                    return Err("a bracket is not closed".to_owned());
                }
            }
            '\\' => match rest.next() {
                Some(next) => out.push_str(&regex::escape(&next.to_string())),
                None => return Err("it ends with a backslash".to_owned()),
            },
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    Regex::new(&out).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn keeps_out(ignore: &str, path: &str) -> bool {
        Patterns::parse(ignore, Path::new(IGNORE)).unwrap().keep_out(path)
    }

    #[rstest]
    #[case("", "a", false)]
    #[case("a", "a", true)]
    #[case("a", "b/a", false)]
    #[case("/a", "a", true)]
    #[case("a/", "a/b/c", true)]
    #[case("*.txt", "x.txt", true)]
    #[case("*.txt", "b/x.txt", false)]
    #[case("**/*.txt", "x.txt", true)]
    #[case("**/*.txt", "b/c/x.txt", true)]
    #[case("b/**", "b/c/d", true)]
    #[case("**/b", "a/b/c", true)]
    #[case("?", "ab", false)]
    #[case("[ab]", "b", true)]
    #[case("\\*", "*", true)]
    #[case("\\*", "a", false)]
    #[case("**\n!src/keep", "src/keep/x", false)]
    #[case("**\n!src/keep", "src/other", true)]
    #[case("**\n!src\nsrc/x", "src/x", true)]
    #[case("src\n!src/keep\n", "src/keep", false)]
    #[case("# a\na", "a", true)]
    #[case(" a ", "a", true)]
    #[case("./a/../b", "b", true)]
    #[case("../.env", ".env", false)]
    #[case("/../.env", ".env", true)]
    #[case("**.env", "prod.env", true)]
    #[case("**.env", "a/prod.env", true)]
    #[case("**.env*", "prod.env.local", false)]
    #[case("**.env*", "a/.env.local", true)]
    #[case("a/**/b", "a/b", true)]
    #[case("a/**/b", "a/x/y/b", true)]
    #[case("a/**", "a/b/c", true)]
    #[case("*\n!d/f\nd", "d/f", false)]
    #[case("!d/f\nd", "d/f", true)]
    #[case("d\n!d/e\nd/e/x", "d/e/x", true)]
    #[case("d\n!d/e\nd/e/x", "d/e/y", false)]
    #[case("\u{feff}a", "a", true)]
    fn a_pattern_keeps_out_what_docker_keeps_out(#[case] ignore: &str, #[case] path: &str, #[case] out: bool) {
        assert_eq!(keeps_out(ignore, path), out);
    }

    #[rstest]
    #[case("[a", "not closed")]
    #[case("a\\", "backslash")]
    fn a_pattern_that_is_none_names_its_line(#[case] ignore: &str, #[case] says: &str) {
        let error = Patterns::parse(&format!("ok\n{ignore}\n"), Path::new(IGNORE)).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(":2:"), "{error}");
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_and_the_dockerfile_is_always_sent() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [one.path(), other.path()] {
            std::fs::create_dir_all(folder.join("src/a")).unwrap();
            std::fs::write(folder.join("src/a/x.py"), "x = 1\n").unwrap();
            std::fs::write(folder.join("notes.txt"), folder.display().to_string()).unwrap();
            std::fs::write(folder.join("Dockerfile"), "FROM scratch\n").unwrap();
            std::fs::write(folder.join(IGNORE), "**\n!src\n").unwrap();
            std::os::unix::fs::symlink("x.py", folder.join("src/a/link.py")).unwrap();
        }
        let [one, other] = [one.path(), other.path()].map(|folder| Context::of_build(folder, "Dockerfile").unwrap());
        let paths: Vec<&str> = one.entries().iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["Dockerfile", "src", "src/a", "src/a/link.py", "src/a/x.py"]);
        assert_eq!((one.digest(), one.tar().unwrap()), (other.digest(), other.tar().unwrap()));
    }

    /// What is searched is what is sent.
    #[test]
    fn a_file_that_changes_after_it_was_looked_at_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        let context = Context::of_folder(folder.path()).unwrap();
        std::fs::write(folder.path().join("a"), "y").unwrap();
        for error in [context.tar().unwrap_err(), context.secret_files().unwrap_err()] {
            assert!(error.to_string().contains("it changed"), "{error}");
        }
    }

    #[test]
    fn a_context_that_is_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        // Sparse: it takes no room.
        std::fs::File::create(folder.path().join("a")).unwrap().set_len(LARGEST + 1).unwrap();
        let error = Context::of_folder(folder.path()).unwrap_err();
        assert!(matches!(error, ContextError::Large { size, .. } if size == LARGEST + 1), "{error}");
    }
}
