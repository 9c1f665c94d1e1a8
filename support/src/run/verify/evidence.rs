//! The evidence as it stands: the folder, the store, and the receipts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Copy, Discrepancy, Place, Recorded, RecordedError, VerifyError};
use crate::evidence::digest::sha256_hex;
use crate::evidence::{METADATA_WRITER, Receipt, TEMPORARY_PREFIX};
use crate::run::outcome::EvidenceFile;
use crate::substrate::reply::CallErrorKind;
use crate::substrate::{S3, Substrate, VersionEntry};

/// File name of the verdict.
const VERDICT: &str = "verdict.json";

/// What was read of one execution.
pub(super) struct Read {
    pub verdict: Recorded,
    /// The bytes of `verdict.json`.
    pub verdict_bytes: Vec<u8>,
    /// The bytes of the listed files that were read, by path: those of the store before those of the folder.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The version at which each listed object stands, by URI.
    pub versions: BTreeMap<String, String>,
    pub read_here: usize,
    pub read_back: usize,
    pub only_here: Vec<String>,
    pub discrepancies: Vec<Discrepancy>,
    pub notes: Vec<String>,
}

impl Read {
    fn new(verdict: Recorded, verdict_bytes: Vec<u8>) -> Self {
        Self {
            verdict,
            verdict_bytes,
            files: BTreeMap::new(),
            versions: BTreeMap::new(),
            read_here: 0,
            read_back: 0,
            only_here: Vec::new(),
            discrepancies: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes one copy of a listed file.
    fn take(&mut self, file: &EvidenceFile, copy: Copy, bytes: Vec<u8>) {
        let is = sha256_hex(&bytes);
        if is != file.sha256 {
            self.discrepancies.push(Discrepancy::Changed { copy, listed: file.sha256.clone(), is });
        }
        self.files.entry(file.path.clone()).or_insert(bytes);
    }

    fn missing(&mut self, file: &EvidenceFile, copy: Copy) {
        self.discrepancies.push(Discrepancy::Missing { copy, listed: file.sha256.clone() });
    }
}

/// Reads everything that the verdict lists, and looks for what it does not list.
pub(super) fn read(place: &Place, execution: &str, substrate: Option<&Substrate>) -> Result<Read, VerifyError> {
    match place {
        Place::Folder(folder) => {
            let path = folder.join(VERDICT);
            let at = path.display().to_string();
            let bytes = std::fs::read(&path).map_err(|e| VerifyError::Verdict {
                place: at.clone(),
                source: RecordedError::Unreadable(e.to_string()),
            })?;
            let verdict = Recorded::read(&bytes, execution)
                .map_err(|source| VerifyError::Verdict { place: at.clone(), source })?;
            let mut read = Read::new(verdict, bytes);
            if let Some(substrate) = substrate {
                read_store(&mut read, substrate)?;
            }
            read_folder(&mut read, folder)?;
            Ok(read)
        }
        Place::Store { bucket, prefix } => {
            let uri = format!("s3://{bucket}/{prefix}{VERDICT}");
            let Some(substrate) = substrate else {
                let why = "no store can be asked".to_owned();
                return Err(VerifyError::NoStore { execution: execution.to_owned(), uri, why });
            };
            let bytes = match substrate.s3().get_object(bucket, &format!("{prefix}{VERDICT}"), None) {
                Ok(reply) => reply.value.bytes,
                Err(error) if error.kind == CallErrorKind::NotFound => {
                    let source = RecordedError::Unreadable(error.to_string());
                    return Err(VerifyError::Verdict { place: uri, source });
                }
                Err(error) => return Err(error.into()),
            };
            let verdict = Recorded::read(&bytes, execution)
                .map_err(|source| VerifyError::Verdict { place: uri.clone(), source })?;
            let mut read = Read::new(verdict, bytes);
            read_store(&mut read, substrate)?;
            Ok(read)
        }
    }
}

fn read_folder(read: &mut Read, folder: &Path) -> Result<(), VerifyError> {
    let listed = read.verdict.files.clone();
    for file in &listed {
        let path = folder.join(&file.path);
        let copy = Copy::Local(file.path.clone());
        match std::fs::symlink_metadata(&path) {
            Ok(there) if there.is_file() => {
                let bytes = std::fs::read(&path).map_err(|source| VerifyError::Read { path, source })?;
                read.take(file, copy, bytes);
                read.read_here += 1;
            }
            // A link leads to bytes that are not the execution's.
            Ok(_) => read.discrepancies.push(Discrepancy::Added { copy, is: None }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => read.missing(file, copy),
            Err(source) => return Err(VerifyError::Read { path, source }),
        }
    }
    let known: BTreeSet<&str> = listed.iter().map(|file| file.path.as_str()).chain([VERDICT]).collect();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| VerifyError::Read {
            path: e.path().unwrap_or(folder).to_owned(),
            source: e.into_io_error().unwrap_or_else(|| std::io::Error::other("the folder leads into itself")),
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        let path = parts.join("/");
        if known.contains(path.as_str()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            read.notes.push(format!("{path} is an unfinished write that a crash left; it is no evidence"));
            continue;
        }
        let is = match entry.file_type().is_file() {
            true => Some(sha256_hex(
                &std::fs::read(entry.path())
                    .map_err(|source| VerifyError::Read { path: entry.path().to_owned(), source })?,
            )),
            false => None,
        };
        read.discrepancies.push(Discrepancy::Added { copy: Copy::Local(path), is });
    }
    Ok(())
}

/// `s3://bucket/key` as bucket and key.
fn parts_of(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix("s3://")?.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
}

/// The prefixes that belong to this execution alone: the folders of its control evidence, and those of its lanes'.
fn own_prefixes(verdict: &Recorded) -> BTreeSet<(String, String)> {
    let (_, stamp) = verdict.execution_id.split_once('_').unwrap_or(("", verdict.execution_id.as_str()));
    let of_execution = |part: &str| part.rsplit_once('_').is_some_and(|(_, own)| own == stamp);
    let mut prefixes = BTreeSet::new();
    for (bucket, key) in verdict.files.iter().filter_map(|file| parts_of(file.uri.as_deref()?)) {
        let folders: Vec<&str> = key.split('/').collect();
        let control = folders.iter().position(|part| *part == "run_control");
        if let Some(at) = control
            && folders.get(at + 1).is_some_and(|part| of_execution(part))
        {
            let prefix = folders.iter().take(at + 2).copied().collect::<Vec<_>>().join("/");
            prefixes.insert((bucket.to_owned(), format!("{prefix}/")));
        }
    }
    prefixes
}

fn read_store(read: &mut Read, substrate: &Substrate) -> Result<(), VerifyError> {
    let account = substrate.identity()?.value.account;
    if let Some(recorded) = read.verdict.account.clone()
        && recorded != account
    {
        let what = "the account that the store is of".to_owned();
        read.discrepancies.push(Discrepancy::Judgement { what, recorded, judged: account });
    }
    let s3 = substrate.s3();
    let prefixes = own_prefixes(&read.verdict);
    let verdict = EvidenceFile {
        path: VERDICT.to_owned(),
        sha256: sha256_hex(&read.verdict_bytes),
        uri: read
            .verdict
            .file("execution.json")
            .and_then(|file| Some(format!("{}{VERDICT}", file.uri.as_deref()?.strip_suffix("execution.json")?))),
    };
    let mut histories: BTreeMap<String, Vec<VersionEntry>> = BTreeMap::new();
    for (bucket, prefix) in &prefixes {
        list(s3, bucket, prefix, &mut histories)?;
    }
    let listed: Vec<EvidenceFile> = read.verdict.files.iter().chain([&verdict]).cloned().collect();
    let mut writers: Vec<(String, String, String)> = Vec::new();
    for file in &listed {
        let Some(uri) = &file.uri else {
            read.only_here.push(file.path.clone());
            continue;
        };
        let Some((bucket, key)) = parts_of(uri) else {
            let why = format!("`{uri}` is no place in a store");
            read.discrepancies.push(Discrepancy::Unusable { name: file.path.clone(), why });
            continue;
        };
        if !prefixes.iter().any(|(b, prefix)| b == bucket && key.starts_with(prefix.as_str())) {
            list(s3, bucket, key, &mut histories)?;
        }
        let history = histories.get(uri).map_or(&[][..], Vec::as_slice);
        let delete_markers = history.iter().filter(|version| version.delete_marker).count();
        let versions = history.len() - delete_markers;
        if versions > 1 || delete_markers > 0 {
            read.discrepancies.push(Discrepancy::History { uri: uri.clone(), versions, delete_markers });
        }
        if let Some(latest) = history.iter().find(|version| version.latest && !version.delete_marker) {
            read.versions.insert(uri.clone(), latest.version_id.clone());
        }
        match s3.get_object(bucket, key, None) {
            Ok(reply) => {
                let writer = reply.value.metadata.get(METADATA_WRITER).cloned().unwrap_or_else(|| "nobody".to_owned());
                writers.push((uri.clone(), sha256_hex(&reply.value.bytes), writer));
                read.read_back += 1;
                let copy = Copy::Stored(uri.clone());
                if file.path == VERDICT {
                    let is = sha256_hex(&reply.value.bytes);
                    if is != file.sha256 {
                        read.discrepancies.push(Discrepancy::Changed { copy, listed: file.sha256.clone(), is });
                    }
                } else {
                    read.take(file, copy, reply.value.bytes);
                }
            }
            Err(error) if error.kind == CallErrorKind::NotFound => read.missing(file, Copy::Stored(uri.clone())),
            Err(error) => return Err(error.into()),
        }
    }
    foreign(read, &writers);
    read_taken_over(read, s3)?;
    let known: BTreeSet<&str> = listed.iter().filter_map(|file| file.uri.as_deref()).collect();
    for (uri, history) in &histories {
        let own = parts_of(uri).is_some_and(|(bucket, key)| {
            prefixes.iter().any(|(b, prefix)| b == bucket && key.starts_with(prefix.as_str()))
        });
        if !own || known.contains(uri.as_str()) {
            continue;
        }
        let is = match (parts_of(uri), history.iter().any(|version| version.latest && !version.delete_marker)) {
            (Some((bucket, key)), true) => Some(sha256_hex(&s3.get_object(bucket, key, None)?.value.bytes)),
            _ => None,
        };
        read.discrepancies.push(Discrepancy::Added { copy: Copy::Stored(uri.clone()), is });
    }
    Ok(())
}

/// The files of the lanes that were taken over stand where the earlier execution put them.
fn read_taken_over(read: &mut Read, s3: &S3) -> Result<(), VerifyError> {
    let Some(resumed) = read.verdict.resumed.clone() else { return Ok(()) };
    for file in &resumed.files {
        let Some((bucket, key)) = file.uri.as_deref().and_then(parts_of) else { continue };
        let copy = Copy::Stored(format!("s3://{bucket}/{key}"));
        match s3.get_object(bucket, key, None) {
            Ok(reply) => {
                read.read_back += 1;
                let is = sha256_hex(&reply.value.bytes);
                if is != file.sha256 {
                    read.discrepancies.push(Discrepancy::Changed { copy, listed: file.sha256.clone(), is });
                }
            }
            Err(error) if error.kind == CallErrorKind::NotFound => read.missing(file, copy),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// All versions below a prefix, by URI.
fn list(
    s3: &S3,
    bucket: &str,
    prefix: &str,
    histories: &mut BTreeMap<String, Vec<VersionEntry>>,
) -> Result<(), VerifyError> {
    let listed = s3.list_versions(bucket, prefix)?.value;
    if !listed.complete {
        return Err(VerifyError::Incomplete { uri: format!("s3://{bucket}/{prefix}") });
    }
    let mut new: BTreeMap<String, Vec<VersionEntry>> = BTreeMap::new();
    for version in listed.entries {
        new.entry(format!("s3://{bucket}/{}", version.key)).or_default().push(version);
    }
    // A key is a prefix of others: only whole histories may take the place of what is known.
    histories.extend(new);
    Ok(())
}

/// All objects of an execution are put by one process. What another one put is named, whatever it holds.
fn foreign(read: &mut Read, writers: &[(String, String, String)]) {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, writer) in writers {
        *count.entry(writer.as_str()).or_default() += 1;
    }
    // The reservation tells whose the execution is; the most frequent writer where it is not there.
    let reserved =
        writers.iter().find(|(uri, ..)| uri.ends_with("/execution.json")).map(|(_, _, writer)| writer.as_str());
    let Some(of) = reserved.or_else(|| count.iter().max_by_key(|(_, n)| **n).map(|(writer, _)| *writer)) else {
        return;
    };
    for (uri, is, writer) in writers.iter().filter(|(_, _, writer)| writer != of) {
        read.discrepancies.push(Discrepancy::Foreign {
            uri: uri.clone(),
            is: is.clone(),
            writer: writer.clone(),
            of: of.to_owned(),
        });
    }
}

/// Holds every receipt against the list and against the store; gives their number.
pub(super) fn compare_receipts(read: &mut Read) -> usize {
    const NAME: &str = "receipts.json";
    let Some(bytes) = read.files.get(NAME) else {
        // That it is missing stands in the list of discrepancies already, where the verdict lists it.
        if read.verdict.file(NAME).is_none() {
            let why = "the verdict lists no receipts".to_owned();
            read.discrepancies.push(Discrepancy::Unusable { name: NAME.to_owned(), why });
        }
        return 0;
    };
    let receipts: Vec<Receipt> = match serde_json::from_slice(bytes) {
        Ok(receipts) => receipts,
        Err(error) => {
            read.discrepancies.push(Discrepancy::Unusable { name: NAME.to_owned(), why: error.to_string() });
            return 0;
        }
    };
    for receipt in &receipts {
        if let Err(why) = agrees(receipt, read) {
            read.discrepancies.push(Discrepancy::Receipt { name: receipt.name.clone(), why });
        }
    }
    // What the lanes left has a receipt each; the execution's own record is proven by the verdict's list.
    let proven: BTreeSet<&str> = receipts.iter().map(|receipt| receipt.name.as_str()).collect();
    let stamp = read.verdict.execution_id.split_once('_').map_or("-", |(_, stamp)| stamp);
    let of_lane = |path: &str| path.split_once('/').is_some_and(|(folder, _)| folder.ends_with(stamp));
    let without: Vec<String> = read
        .verdict
        .files
        .iter()
        .filter(|file| file.uri.is_some() && of_lane(&file.path) && !proven.contains(file.path.as_str()))
        .map(|file| file.path.clone())
        .collect();
    for name in without {
        let why = "the verdict lists it as put, and no receipt says so".to_owned();
        read.discrepancies.push(Discrepancy::Receipt { name, why });
    }
    receipts.len()
}

fn agrees(receipt: &Receipt, read: &Read) -> Result<(), String> {
    let Some(file) = read.verdict.file(&receipt.name) else { return Err("the verdict does not list it".to_owned()) };
    let differs = |what: &str, says: &str, is: &str| Err(format!("it says {what} {says}, and it is {is}"));
    if receipt.sha256_local != file.sha256 {
        return differs("SHA-256", &receipt.sha256_local, &file.sha256);
    }
    if let Some(bytes) = read.files.get(&receipt.name)
        && bytes.len() as u64 != receipt.bytes
    {
        return differs("a length of", &receipt.bytes.to_string(), &bytes.len().to_string());
    }
    let Some(durable) = &receipt.durable else { return Ok(()) };
    if durable.sha256_read_back != receipt.sha256_local {
        return differs("that SHA-256 was read back as", &durable.sha256_read_back, &receipt.sha256_local);
    }
    if let Some(uri) = &file.uri
        && *uri != durable.uri
    {
        return differs("that it stands at", &durable.uri, uri);
    }
    let told = durable.server.as_ref().and_then(|server| server.version_id.as_deref());
    if let (Some(told), Some(is)) = (told, read.versions.get(&durable.uri))
        && told != is
    {
        return differs("version", told, is);
    }
    Ok(())
}
