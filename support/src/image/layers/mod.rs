//! The layers of an image, every file of each searched for secrets, also what a later layer deletes.
//!
//! The image's configuration is searched as a file. What `docker save` gives is read as a stream, in both of its forms: a folder for each layer, or blobs by their digest. Layers are
//! plain or by gzip, all members of it. No file is held in memory whole, whatever its size. The answer is about exactly the layers that
//! the image's configuration names by their digests: a layer that did not come, another one, one that is cut, and an archive that two
//! readers could take differently are errors, never an empty clean answer.

mod archive;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::archive::ArchiveError;
use self::archive::{Member, MemberKind, Walk, members, plain};
use super::names::rule_of_file;
use super::search::{Harmless, HarmlessError, Search, SearchError};
use crate::evidence::digest::sha256_hex;
use crate::secrets::Hit;

/// The file that says which layers an image has, in their order.
const MANIFEST: &str = "manifest.json";

/// A document of the archive is not larger than this, nor are all of them together than eight times this.
const LARGEST_DOCUMENT: u64 = 4 << 20;
const ALL_DOCUMENTS: u64 = 8 * LARGEST_DOCUMENT;

/// So many findings of an image are kept; the others are counted.
const MOST_FINDINGS: usize = 1000;

/// What marks a file of an earlier layer as deleted, and a whole folder of it.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// The path of findings in the image's configuration: commands, checks of health, authors, labels. No path in a layer begins so.
const CONFIGURATION: &str = "/configuration";

/// Why an image's layers could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The archive of the image is not read.
    #[error("the image's archive: {0}")]
    Archive(#[source] ArchiveError),
    /// The archive of a layer is not read.
    #[error("layer {layer} of the image's archive: {source}")]
    Layer {
        /// Its name in the archive.
        layer: String,
        /// Why.
        source: ArchiveError,
    },
    /// A layer is compressed in a way that is not read here.
    #[error(
        "layer {layer} of the image's archive is compressed by zstd, which is not read here; save the image without it"
    )]
    Compressed {
        /// Its name in the archive.
        layer: String,
    },
    /// There are more documents than an image has.
    #[error("the image's archive holds over {ALL_DOCUMENTS} bytes of documents; it is no image's")]
    Documents,
    /// Two entries with one name: which of them counts, readers decide differently.
    #[error("the image's archive names {path} twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// There is no manifest or configuration, or it is none.
    #[error("{document} of the image's archive cannot be read: {why}")]
    Document {
        /// Its path.
        document: String,
        /// Why.
        why: String,
    },
    /// The archive holds no image, or several.
    #[error("the image's archive holds {count} images; one is asked for")]
    Images {
        /// How many.
        count: usize,
    },
    /// A layer that the manifest names did not come, or is no archive.
    #[error("the manifest of the image's archive names layer {layer}, which is not in it as a tar archive")]
    Missing {
        /// Its name in the archive.
        layer: String,
    },
    /// No layer came.
    #[error("the image's archive has no layer")]
    NoLayer,
    /// The layers that came are not those of the configuration.
    #[error("the image's configuration names the layers {named}, the archive holds {held}")]
    Other {
        /// The configuration's, from the lowest.
        named: String,
        /// What came.
        held: String,
    },
    /// The rules cannot be read.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The list of harmless findings cannot be read.
    #[error(transparent)]
    Harmless(#[from] HarmlessError),
}

/// What was found in an image's layers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// The layers, from the lowest.
    pub layers: Vec<Layer>,
    /// What was found, by layer and path.
    pub findings: Vec<Finding>,
    /// How many findings there are beyond these.
    pub more: u64,
    /// The digest of the image's configuration, which names the layers.
    pub config_digest: String,
    /// Of the files that were asked for, by the SHA-256 of their content, those that a container of the image sees: no later layer
    /// deletes them or puts something else in their place.
    pub held: BTreeSet<String>,
    /// The files below the folder that was asked for, of all layers, by their path in it.
    #[serde(default)]
    pub below: BTreeSet<String>,
}

/// What is looked for in an image besides secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// Files, by the SHA-256 of their content.
    pub files: BTreeSet<String>,
    /// A folder whose files are listed; nothing for none.
    pub folder: Option<String>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of the layer, unpacked: its diff id.
    pub diff_id: String,
    /// How many files.
    pub files: u64,
    /// How many bytes of files were searched.
    pub bytes: u64,
}

/// One finding; the value is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The layer, from 0; 0 for the configuration, which is of none.
    pub layer: usize,
    /// The path, below the root; `/configuration` for the image's own document.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// Where in the file; `name` where its name alone says it, `attributes` and the place where they hold it.
    pub at: String,
    /// A later layer deletes the file: it is in the image all the same.
    pub deleted_later: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, path, rule, at, deleted_later } = self;
        if path == CONFIGURATION {
            return write!(f, "{rule} in the image's configuration ({at})");
        }
        write!(f, "{rule} in /{path} ({at}) of layer {}", layer + 1)?;
        if *deleted_later { f.write_str(", which a later layer deletes and does not take away") } else { Ok(()) }
    }
}

impl Scanned {
    /// All files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.layers.iter().map(|layer| layer.files).sum()
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }

    /// The digests of the layers, unpacked, from the lowest.
    #[must_use]
    pub fn diff_ids(&self) -> Vec<&str> {
        self.layers.iter().map(|layer| layer.diff_id.as_str()).collect()
    }
}

/// One layer as it came: what it holds, and what it deletes of the ones below.
#[derive(Debug, Default)]
struct Came {
    diff_id: String,
    files: u64,
    bytes: u64,
    hits: Vec<(String, Hit)>,
    more: u64,
    deleted: BTreeSet<String>,
    emptied: BTreeSet<String>,
    /// Paths of the files that were asked for, with their digests.
    held: BTreeMap<String, String>,
    /// All that is no folder.
    placed: BTreeSet<String>,
    below: BTreeSet<String>,
}

impl Came {
    /// Whether a file of a layer below is not seen any more: it is deleted, or something else stands where it or a folder of it stood.
    fn hides(&self, path: &str) -> bool {
        self.deletes(path) || self.placed.contains(path) || folders_of(path).any(|folder| self.placed.contains(folder))
    }

    /// Something that is no folder: what the same layer had there before is gone.
    fn places(&mut self, path: &str) {
        self.held.retain(|held, _| held != path && !is_below(held, path));
        self.placed.insert(path.to_owned());
    }

    /// Whether it deletes a file of a layer below.
    fn deletes(&self, path: &str) -> bool {
        let mut above = folders_of(path).chain([""]);
        self.deleted.contains(path)
            || above.any(|folder| self.deleted.contains(folder) || self.emptied.contains(folder))
    }

    fn found(&mut self, path: &str, hits: impl IntoIterator<Item = Hit>) {
        for hit in hits {
            if self.hits.len() < MOST_FINDINGS { self.hits.push((path.to_owned(), hit)) } else { self.more += 1 }
        }
    }

    /// What a name says by itself: a file that is secret, or a mark that one of a layer below is deleted.
    fn named(&mut self, member: &Member) {
        let path = &member.path;
        let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
        if last == OPAQUE {
            self.emptied.insert(folder.to_owned());
        } else if let Some(deleted) = last.strip_prefix(WHITEOUT) {
            self.deleted.insert(plain(&format!("{folder}/{deleted}")));
        }
        if let Some(rule) = rule_of_file(path).filter(|_| member.kind != MemberKind::Folder) {
            self.found(path, [Hit { rule: rule.to_owned(), at: "name".to_owned() }]);
        }
    }
}

/// The folders that a path lies in, from the topmost.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.char_indices().filter(|(_, c)| *c == '/').filter_map(|(at, _)| path.get(..at))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// What came of the image's archive.
#[derive(Debug)]
struct Archive<'w> {
    wanted: &'w Wanted,
    seen: BTreeSet<String>,
    layers: BTreeMap<String, Came>,
    links: BTreeMap<String, String>,
    documents: BTreeMap<String, Vec<u8>>,
    kept: u64,
}

/// Searches the layers of the one image that `docker save` gives, and says which of the `wanted` files it holds, and what lies in the
/// folder.
///
/// # Errors
/// [`LayersError`]: what is not read to its end, or could be read in another way, gives no answer.
pub fn scan(stream: &mut dyn Read, wanted: &Wanted) -> Result<Scanned, LayersError> {
    let mut search = Search::new(Harmless::built_in()?)?;
    let mut archive = Archive {
        wanted,
        seen: BTreeSet::new(),
        layers: BTreeMap::new(),
        links: BTreeMap::new(),
        documents: BTreeMap::new(),
        kept: 0,
    };
    members(stream, &mut |member, bytes| archive.take(member, bytes, &mut search)).map_err(|walk| match walk {
        Walk::Archive(error) => LayersError::Archive(error),
        Walk::Visitor(error) => error,
    })?;
    archive.of_image(&mut search)
}

impl Archive<'_> {
    fn take(&mut self, member: &Member, bytes: &mut dyn Read, search: &mut Search) -> Result<(), LayersError> {
        let Member { path, kind, size, .. } = member;
        if *kind != MemberKind::Folder && !self.seen.insert(path.clone()) {
            return Err(LayersError::Twice { path: path.clone() });
        }
        match kind {
            // Layers that are alike are there once.
            MemberKind::Link { to, symbolic } => {
                self.links.insert(path.clone(), resolved(path, to, *symbolic));
            }
            MemberKind::File => {
                let broken = |error: std::io::Error| LayersError::Layer { layer: path.clone(), source: error.into() };
                let head = head_of(bytes).map_err(broken)?;
                let mut whole = head.as_slice().chain(bytes);
                match Form::of(&head) {
                    Form::Tar => drop(self.layers.insert(path.clone(), files(path, &mut whole, search, self.wanted)?)),
                    Form::Gzip => {
                        let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, whole));
                        let head = head_of(&mut unpacked).map_err(broken)?;
                        if Form::of(&head) == Form::Tar {
                            let came = files(path, &mut head.as_slice().chain(unpacked), search, self.wanted)?;
                            self.layers.insert(path.clone(), came);
                        }
                    }
                    Form::Zstd => return Err(LayersError::Compressed { layer: path.clone() }),
                    Form::Other if *size <= LARGEST_DOCUMENT => {
                        self.kept += size;
                        if self.kept > ALL_DOCUMENTS {
                            return Err(LayersError::Documents);
                        }
                        let mut document = Vec::new();
                        whole.read_to_end(&mut document).map_err(|error| LayersError::Archive(error.into()))?;
                        self.documents.insert(path.clone(), document);
                    }
                    Form::Other => {}
                }
            }
            MemberKind::Folder | MemberKind::Other => {}
        }
        Ok(())
    }

    fn document<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, LayersError> {
        let unreadable = |why: String| LayersError::Document { document: path.to_owned(), why };
        let bytes = self.documents.get(path).ok_or_else(|| unreadable("it is not there".to_owned()))?;
        serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))
    }

    /// The layers in the manifest's order, which must be those of the configuration.
    fn of_image(&self, search: &mut Search) -> Result<Scanned, LayersError> {
        #[derive(Deserialize)]
        struct Image {
            #[serde(rename = "Config")]
            config: String,
            #[serde(rename = "Layers")]
            layers: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Config {
            rootfs: Rootfs,
        }
        #[derive(Deserialize)]
        struct Rootfs {
            diff_ids: Vec<String>,
        }
        let images: Vec<Image> = self.document(MANIFEST)?;
        let [image] = images.as_slice() else { return Err(LayersError::Images { count: images.len() }) };
        let config_path = plain(&image.config);
        let config: Config = self.document(&config_path)?;
        let mut layers = Vec::new();
        for name in &image.layers {
            let name = plain(name);
            let at = self.links.get(&name).unwrap_or(&name);
            layers.push(self.layers.get(at).ok_or(LayersError::Missing { layer: name })?);
        }
        if layers.is_empty() {
            return Err(LayersError::NoLayer);
        }
        let mut scanned = in_order(&layers);
        let (named, held) = (config.rootfs.diff_ids.join(", "), scanned.diff_ids().join(", "));
        if named != held {
            return Err(LayersError::Other { named, held });
        }
        let config = self.documents.get(&config_path).map(Vec::as_slice).unwrap_or_default();
        scanned.config_digest = sha256_id(config);
        let unread = |error: std::io::Error| LayersError::Archive(error.into());
        let searched = search.file("configuration.json", &mut &*config).map_err(unread)?;
        scanned.more += searched.more;
        scanned.findings.extend(searched.hits.into_iter().map(|hit| Finding {
            layer: 0,
            path: CONFIGURATION.to_owned(),
            rule: hit.rule,
            at: hit.at,
            deleted_later: false,
        }));
        Ok(scanned)
    }
}

fn sha256_id(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

fn in_order(layers: &[&Came]) -> Scanned {
    let mut scanned = Scanned::default();
    let mut seen: BTreeMap<&str, &String> = BTreeMap::new();
    for (number, came) in layers.iter().enumerate() {
        let Came { diff_id, files, bytes, more, held, below, .. } = came;
        seen.retain(|path, _| !came.hides(path));
        seen.extend(held.iter().map(|(path, digest)| (path.as_str(), digest)));
        scanned.below.extend(below.iter().cloned());
        scanned.layers.push(Layer { diff_id: diff_id.clone(), files: *files, bytes: *bytes });
        scanned.more += more;
        let later = layers.get(number + 1..).unwrap_or_default();
        for (path, hit) in &came.hits {
            if scanned.findings.len() == MOST_FINDINGS {
                scanned.more += 1;
                continue;
            }
            scanned.findings.push(Finding {
                layer: number,
                path: path.clone(),
                rule: hit.rule.clone(),
                at: hit.at.clone(),
                deleted_later: later.iter().any(|layer| layer.deletes(path)),
            });
        }
    }
    scanned.held = seen.into_values().cloned().collect();
    scanned
}

/// What a file of the image's archive is, by its first bytes.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Tar,
    Gzip,
    Zstd,
    Other,
}

impl Form {
    fn of(head: &[u8]) -> Self {
        let magic = head.get(257..262).is_some_and(|magic| magic == b"ustar");
        // A layer without any file is two blocks of zeros.
        let empty = head.len() == HEAD && head.iter().all(|byte| *byte == 0);
        match head {
            _ if magic || empty => Self::Tar,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Other,
        }
    }
}

/// As many bytes tell a form.
const HEAD: usize = 1024;

fn head_of(bytes: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    bytes.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn files(name: &str, layer: &mut dyn Read, search: &mut Search, wanted: &Wanted) -> Result<Came, LayersError> {
    let digests = Some(&wanted.files).filter(|files| !files.is_empty());
    let listed = wanted.folder.as_deref().map(plain);
    let mut hashed = Hashed { inner: layer, digest: Sha256::new() };
    let mut came = Came::default();
    let walked = members(&mut hashed, &mut |member, bytes| -> std::io::Result<()> {
        came.named(member);
        let path = &member.path;
        if member.kind != MemberKind::Folder {
            if digests.is_some() {
                came.places(path);
            }
            came.below.extend(listed.as_deref().and_then(|folder| below(path, folder)).map(str::to_owned));
        }
        if !member.records.is_empty() {
            let searched = search.file("records", &mut member.records.as_slice())?;
            let hits = searched.hits.into_iter().map(|hit| Hit { at: format!("attributes {}", hit.at), ..hit });
            came.found(path, hits);
            came.more += searched.more;
        }
        if member.size > 0 || (digests.is_some() && member.kind == MemberKind::File) {
            let searched = match digests {
                Some(wanted) => {
                    let mut content = Hashed { inner: bytes, digest: Sha256::new() };
                    let searched = search.file(path, &mut content)?;
                    let digest = hex::encode(content.digest.finalize());
                    if wanted.contains(&digest) {
                        came.held.insert(path.clone(), digest);
                    }
                    searched
                }
                None => search.file(path, bytes)?,
            };
            came.bytes += searched.bytes;
            came.found(path, searched.hits);
            came.more += searched.more;
        }
        came.files += u64::from(member.kind == MemberKind::File);
        Ok(())
    });
    walked.map_err(|walk| {
        let source = match walk {
            Walk::Archive(error) => error,
            Walk::Visitor(error) => error.into(),
        };
        LayersError::Layer { layer: name.to_owned(), source }
    })?;
    came.diff_id = format!("sha256:{}", hex::encode(hashed.digest.finalize()));
    Ok(came)
}

/// The path of a file in the folder that it lies in; marks of what is deleted are no files.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = if folder.is_empty() { path } else { path.strip_prefix(folder)?.strip_prefix('/')? };
    let last = rest.rsplit('/').next().unwrap_or_default();
    (!last.starts_with(WHITEOUT)).then_some(rest)
}

/// Where a link leads: of a symbolic one the path is relative to its folder.
fn resolved(name: &str, to: &str, relative: bool) -> String {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if relative && !to.starts_with('/') { format!("{folder}/{to}") } else { to.to_owned() };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Hashes what is read.
struct Hashed<'r> {
    inner: &'r mut dyn Read,
    digest: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
