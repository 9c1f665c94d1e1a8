//! The layers of an image, every file of each searched for secrets, also what a later layer deletes.
//!
//! What `docker save` gives is read as a stream, in both of its forms: a folder for each layer, or blobs by their digest. Layers are
//! plain or by gzip. No file is held in memory whole, whatever its size. A layer that the manifest names and that did not come, a layer
//! that ends early, or none at all, is an error: never an empty clean answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::names::rule_of_file;
use super::search::{Harmless, HarmlessError, Search, SearchError};
use crate::secrets::Hit;

/// The file that says which layers an image has, in their order.
const MANIFEST: &str = "manifest.json";

/// A document of the archive is not larger than this.
const LARGEST_DOCUMENT: u64 = 4 << 20;

/// What marks a file of an earlier layer as deleted, and a whole folder of it.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Why an image's layers could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The stream breaks, or is no archive.
    #[error("the image's archive cannot be read to its end: {0}")]
    Stream(#[from] std::io::Error),
    /// A layer is shorter than it says.
    #[error("layer {layer} of the image's archive is cut short")]
    Short {
        /// Its name in the archive.
        layer: String,
    },
    /// A layer is compressed in a way that is not read here.
    #[error(
        "layer {layer} of the image's archive is compressed by zstd, which is not read here; save the image without it"
    )]
    Compressed {
        /// Its name in the archive.
        layer: String,
    },
    /// There is no manifest, or it is none.
    #[error("the image's archive has no {MANIFEST} that can be read: {why}")]
    Manifest {
        /// Why.
        why: String,
    },
    /// A layer that the manifest names did not come.
    #[error("the manifest of the image's archive names layer {layer}, which is not in it")]
    Missing {
        /// Its name in the archive.
        layer: String,
    },
    /// No layer came.
    #[error("the image's archive has no layer")]
    NoLayer,
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
    /// The layer, from 0.
    pub layer: usize,
    /// The path, below the root.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// Where in the file; `name` where its name alone says it.
    pub at: String,
    /// A later layer deletes the file: it is in the image all the same.
    pub deleted_later: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, path, rule, at, deleted_later } = self;
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
}

/// One layer as it came: what it holds, and what it deletes of the ones below.
#[derive(Debug, Default)]
struct Came {
    diff_id: String,
    files: u64,
    bytes: u64,
    hits: Vec<(String, Hit)>,
    deleted: BTreeSet<String>,
    emptied: BTreeSet<String>,
}

impl Came {
    /// Whether it deletes a file of a layer below.
    fn deletes(&self, path: &str) -> bool {
        let folders = path.char_indices().filter(|(_, c)| *c == '/').filter_map(|(at, _)| path.get(..at));
        let mut above = folders.chain([""]);
        self.deleted.contains(path)
            || above.any(|folder| self.deleted.contains(folder) || self.emptied.contains(folder))
    }
}

/// Searches the layers of an image that `docker save` gives.
///
/// # Errors
/// [`LayersError`]: what is not read to its end gives no answer.
pub fn scan(stream: &mut dyn Read) -> Result<Scanned, LayersError> {
    let mut search = Search::new(Harmless::built_in()?)?;
    let mut layers: BTreeMap<String, Came> = BTreeMap::new();
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    let mut manifest = None;
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let entry = entry?;
        let name = plain(&entry.path()?.to_string_lossy());
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            // Layers that are alike are there once.
            if let Some(to) = entry.link_name()? {
                links.insert(name.clone(), resolved(&name, &to.to_string_lossy(), kind.is_symlink()));
            }
            continue;
        }
        if !kind.is_file() {
            continue;
        }
        if name == MANIFEST {
            let mut text = String::new();
            entry.take(LARGEST_DOCUMENT).read_to_string(&mut text)?;
            manifest = Some(text);
            continue;
        }
        let size = entry.size();
        let mut counted = Counted { inner: entry, read: 0 };
        if let Some(came) = layer(&name, &mut counted, &mut search)? {
            if counted.read != size {
                return Err(LayersError::Short { layer: name });
            }
            layers.insert(name, came);
        }
    }
    let order = order(manifest.as_deref().unwrap_or_default())?;
    in_order(&order, &links, &layers)
}

/// The manifest's layers, from the lowest.
fn order(manifest: &str) -> Result<Vec<String>, LayersError> {
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "Layers")]
        layers: Vec<String>,
    }
    let images: Vec<Image> =
        serde_json::from_str(manifest).map_err(|error| LayersError::Manifest { why: error.to_string() })?;
    let order: Vec<String> = images.into_iter().flat_map(|image| image.layers).map(|name| plain(&name)).collect();
    if order.is_empty() { Err(LayersError::NoLayer) } else { Ok(order) }
}

fn in_order(
    order: &[String],
    links: &BTreeMap<String, String>,
    layers: &BTreeMap<String, Came>,
) -> Result<Scanned, LayersError> {
    let mut of_image = Vec::new();
    for name in order {
        let at = links.get(name).unwrap_or(name);
        of_image.push(layers.get(at).ok_or_else(|| LayersError::Missing { layer: name.clone() })?);
    }
    let mut scanned = Scanned::default();
    for (number, came) in of_image.iter().enumerate() {
        let Came { diff_id, files, bytes, .. } = came;
        scanned.layers.push(Layer { diff_id: diff_id.clone(), files: *files, bytes: *bytes });
        let later = of_image.get(number + 1..).unwrap_or_default();
        scanned.findings.extend(came.hits.iter().map(|(path, hit)| Finding {
            layer: number,
            path: path.clone(),
            rule: hit.rule.clone(),
            at: hit.at.clone(),
            deleted_later: later.iter().any(|layer| layer.deletes(path)),
        }));
    }
    Ok(scanned)
}

/// Reads an entry that is a layer; nothing for another file.
fn layer(name: &str, entry: &mut dyn Read, search: &mut Search) -> Result<Option<Came>, LayersError> {
    let mut entry = BufReader::with_capacity(64 << 10, entry);
    let head = entry.fill_buf()?;
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(LayersError::Compressed { layer: name.to_owned() });
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = BufReader::with_capacity(64 << 10, GzDecoder::new(&mut entry));
        let came = if is_tar(unpacked.fill_buf()?) { Some(files(name, &mut unpacked, search)?) } else { None };
        std::io::copy(&mut entry, &mut std::io::sink())?;
        return Ok(came);
    }
    if !is_tar(head) {
        return Ok(None);
    }
    files(name, &mut entry, search).map(Some)
}

/// Whether bytes begin a tar. A layer without any file is two blocks of zeros.
fn is_tar(head: &[u8]) -> bool {
    let magic = head.get(257..262).is_some_and(|magic| magic == b"ustar");
    let empty = head.len() >= 1024 && head.iter().take(1024).all(|byte| *byte == 0);
    magic || empty
}

fn files(name: &str, layer: &mut dyn Read, search: &mut Search) -> Result<Came, LayersError> {
    let mut hashed = Hashed { inner: layer, digest: Sha256::new() };
    let mut came = Came::default();
    let mut archive = tar::Archive::new(&mut hashed);
    for file in archive.entries()? {
        let mut file = file?;
        let path = plain(&file.path()?.to_string_lossy());
        let (folder, last) = path.rsplit_once('/').unwrap_or(("", &path));
        if last == OPAQUE {
            came.emptied.insert(folder.to_owned());
        } else if let Some(deleted) = last.strip_prefix(WHITEOUT) {
            let deleted = if folder.is_empty() { deleted.to_owned() } else { format!("{folder}/{deleted}") };
            came.deleted.insert(deleted);
        }
        if let Some(rule) = rule_of_file(&path).filter(|_| !file.header().entry_type().is_dir()) {
            came.hits.push((path.clone(), Hit { rule: rule.to_owned(), at: "name".to_owned() }));
        }
        if !file.header().entry_type().is_file() {
            continue;
        }
        let size = file.size();
        let searched = search.file(&path, &mut file)?;
        if searched.bytes != size {
            return Err(LayersError::Short { layer: name.to_owned() });
        }
        came.files += 1;
        came.bytes += searched.bytes;
        came.hits.extend(searched.hits.into_iter().map(|hit| (path.clone(), hit)));
    }
    // What stands behind the archive's end belongs to its digest.
    std::io::copy(&mut hashed, &mut std::io::sink())?;
    came.diff_id = format!("sha256:{}", hex::encode(hashed.digest.finalize()));
    Ok(came)
}

fn plain(path: &str) -> String {
    path.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/').to_owned()
}

/// Where a link leads: of a symbolic one the path is relative to its folder.
fn resolved(name: &str, to: &str, relative: bool) -> String {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if relative { format!("{folder}/{to}") } else { to.to_owned() };
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

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
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
