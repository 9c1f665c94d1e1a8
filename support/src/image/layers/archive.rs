//! Tar archives as their strictest reader takes them: where two readers would see two different things, there is no answer.
//!
//! Readers disagree about archives: some skip the bytes of an entry that holds none, some read past the end mark, some take a size out
//! of a record and some out of the header. What one does not see, another unpacks. Whatever could be read in two ways is refused here;
//! engines write none of it.

use std::io::{self, Read};

use tar::EntryType;

/// A name, or the records before an entry, are not longer than this; engines refuse longer ones too.
const LONGEST_RECORDS: u64 = 1 << 20;

/// Why an archive is not read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It breaks, or it is none.
    #[error("it cannot be read to its end: {0}")]
    Stream(#[from] io::Error),
    /// It ends inside an entry.
    #[error("it is cut short in {path}: {read} bytes of {size} are there")]
    Short {
        /// The entry.
        path: String,
        /// As many bytes came.
        read: u64,
        /// So many it says.
        size: u64,
    },
    /// Something stands behind the end.
    #[error("bytes that are not zero stand behind its end mark")]
    BehindEnd,
    /// Names or records without the entry that they are about.
    #[error("it ends between the name of an entry and the entry")]
    Dangling,
    /// A name, or the records before an entry, are longer than any engine writes.
    #[error("the name or the records of an entry are {size} bytes long; at most {LONGEST_RECORDS} are read")]
    LongRecords {
        /// So long it says.
        size: u64,
    },
    /// Records that cannot be read, or a file in pieces, or one of more than 8 GiB.
    #[error("{path} is written in a way that readers take differently: {why}; build the image without it")]
    Ambiguous {
        /// The entry.
        path: String,
        /// What is ambiguous.
        why: &'static str,
    },
}

/// One entry that stands for itself: not a name or a record of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Below the root, with `/`, without `./` and slashes at its ends.
    pub(super) path: String,
    pub(super) kind: MemberKind,
    /// The bytes that it holds.
    pub(super) size: u64,
    /// What the records before it hold beyond its name: attributes.
    pub(super) records: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Folder,
    /// Where it leads, as it is written; of a symbolic link relative to its folder.
    Link {
        to: String,
        symbolic: bool,
    },
    /// A device, a pipe, or records for all that follow.
    Other,
}

/// Why a walk over members ended: the archive's fault, or what the visitor said.
#[derive(Debug)]
pub(super) enum Walk<E> {
    Archive(ArchiveError),
    Visitor(E),
}

impl<E> From<ArchiveError> for Walk<E> {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl<E> From<io::Error> for Walk<E> {
    fn from(error: io::Error) -> Self {
        Self::Archive(error.into())
    }
}

/// What stands before an entry and is about it.
#[derive(Debug, Default)]
struct Before {
    path: Option<String>,
    link: Option<String>,
    records: Vec<u8>,
}

/// Shows each member with its bytes to `visit`, then reads the stream to its end.
pub(super) fn members<R: Read, E>(
    stream: R,
    visit: &mut dyn FnMut(&Member, &mut dyn Read) -> Result<(), E>,
) -> Result<(), Walk<E>> {
    let mut archive = tar::Archive::new(stream);
    let mut before = None::<Before>;
    // Raw: the library would hold names of any length in memory, and split records at line breaks.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        let own_path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match kind {
            EntryType::GNULongName => before.get_or_insert_default().path = Some(name(&mut entry, size)?),
            EntryType::GNULongLink => before.get_or_insert_default().link = Some(name(&mut entry, size)?),
            EntryType::XHeader => {
                let bytes = short(&mut entry, size)?;
                records(&bytes, &own_path, size, before.get_or_insert_default())?;
            }
            _ => {
                let Before { path, link, records } = before.take().unwrap_or_default();
                let path = path.unwrap_or(own_path);
                let kind = member_kind(kind, &path, link, entry.header())?;
                if size > 0 && !matches!(kind, MemberKind::File | MemberKind::Other) {
                    return Err(ambiguous(path, "a folder or a link with bytes of its own").into());
                }
                let member = Member { path: plain(&path), kind, size, records };
                let mut counted = Counted { inner: &mut entry, read: 0 };
                visit(&member, &mut counted).map_err(Walk::Visitor)?;
                io::copy(&mut counted, &mut io::sink())?;
                if counted.read != size {
                    return Err(ArchiveError::Short { path: member.path, read: counted.read, size }.into());
                }
            }
        }
    }
    if before.is_some() {
        return Err(ArchiveError::Dangling.into());
    }
    only_zeros(&mut archive.into_inner())?;
    Ok(())
}

fn member_kind(
    kind: EntryType,
    path: &str,
    link: Option<String>,
    header: &tar::Header,
) -> Result<MemberKind, ArchiveError> {
    let to =
        || link.unwrap_or_else(|| String::from_utf8_lossy(&header.link_name_bytes().unwrap_or_default()).into_owned());
    Ok(match kind {
        // Before there were types, a slash at the end of the name made a folder.
        EntryType::Regular if path.ends_with('/') => MemberKind::Folder,
        EntryType::Regular => MemberKind::File,
        EntryType::Directory => MemberKind::Folder,
        EntryType::Symlink => MemberKind::Link { to: to(), symbolic: true },
        EntryType::Link => MemberKind::Link { to: to(), symbolic: false },
        EntryType::Char | EntryType::Block | EntryType::Fifo if header.entry_size()? > 0 => {
            return Err(ambiguous(path.to_owned(), "a device or a pipe with bytes of its own"));
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo | EntryType::XGlobalHeader => MemberKind::Other,
        EntryType::GNUSparse => return Err(ambiguous(path.to_owned(), "a sparse file, in pieces")),
        _ => return Err(ambiguous(path.to_owned(), "an entry of an unknown type")),
    })
}

fn ambiguous(path: String, why: &'static str) -> ArchiveError {
    ArchiveError::Ambiguous { path, why }
}

/// The records before an entry: `LENGTH KEY=VALUE`, each with its line break, where values may hold line breaks too.
fn records(bytes: &[u8], path: &str, size: u64, before: &mut Before) -> Result<(), ArchiveError> {
    let unreadable = || ambiguous(path.to_owned(), "its records cannot be read");
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(unreadable)?;
        let digits = rest.get(..space).filter(|digits| digits.iter().all(u8::is_ascii_digit)).ok_or_else(unreadable)?;
        let length: usize =
            std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
        let record =
            rest.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(unreadable)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(unreadable)?;
        let (key, value) = (record.get(..equals).unwrap_or_default(), record.get(equals + 1..).unwrap_or_default());
        let text = || String::from_utf8_lossy(value).into_owned();
        match key {
            b"path" => before.path = Some(text()),
            b"linkpath" => before.link = Some(text()),
            b"size" if text().parse() != Ok(size) => {
                return Err(ambiguous(path.to_owned(), "a size beside that of its header, as of files over 8 GiB"));
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(ambiguous(path.to_owned(), "a sparse file, in pieces"));
            }
            _ => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    before.records.extend_from_slice(bytes);
    Ok(())
}

/// A long name: its bytes up to the zero that ends them.
fn name(entry: &mut dyn Read, size: u64) -> Result<String, ArchiveError> {
    let bytes = short(entry, size)?;
    let ends = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(bytes.get(..ends).unwrap_or_default()).into_owned())
}

fn short(entry: &mut dyn Read, size: u64) -> Result<Vec<u8>, ArchiveError> {
    if size > LONGEST_RECORDS {
        return Err(ArchiveError::LongRecords { size });
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(ArchiveError::Short { path: "the name of an entry".to_owned(), read: bytes.len() as u64, size })
    }
}

fn only_zeros(rest: &mut dyn Read) -> Result<(), ArchiveError> {
    let mut block = [0; 8192];
    loop {
        match rest.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) if block.iter().take(count).any(|byte| *byte != 0) => return Err(ArchiveError::BehindEnd),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A path below the root, whatever stands before it.
pub(super) fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

/// Counts what is read.
struct Counted<'r> {
    inner: &'r mut dyn Read,
    read: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}
