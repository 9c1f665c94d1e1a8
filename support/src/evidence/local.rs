//! The local file: whole or not there, and never replaced.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::digest::sha256_hex;
use super::error::PublishError;

/// Files that begin so are unfinished writes that a crash left behind; they are no evidence.
pub const TEMPORARY_PREFIX: &str = ".phasegate-unfinished-";

/// Writes `bytes` to `name` below `root`: a temporary file in the same folder, fsync, rename without replacing, fsync of the folder. A file
/// that stands there with equal bytes counts as written. Gives the path, and the digest of the file as it reads from the disk.
pub(super) fn write_whole(
    root: &Path,
    name: &str,
    bytes: &[u8],
    before_rename: &dyn Fn(),
) -> Result<(PathBuf, String), PublishError> {
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    let failed = |path: &Path, action| {
        let path = path.to_owned();
        move |source| PublishError::LocalWrite { path, action, source }
    };
    if let Some((path, to)) = link_on_the_way(root, folder) {
        return Err(PublishError::LocalLink { path, to });
    }
    let standing = nearest_standing(folder);
    fs::create_dir_all(folder).map_err(failed(folder, "make the folder"))?;
    let renamed = rename_into_place(folder, &path, bytes, before_rename);
    match renamed {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return accept_equal(&path, bytes);
        }
        Err(error) => return Err(failed(&path, "write the file")(error)),
    }
    sync_folders(folder, standing).map_err(failed(folder, "fsync the folder"))?;
    let sha256_there = digest_of_file(&path)?;
    let sha256_new = sha256_hex(bytes);
    if sha256_there != sha256_new {
        return Err(PublishError::LocalDiffers { path, sha256_there, sha256_new });
    }
    Ok((path, sha256_there))
}

fn rename_into_place(folder: &Path, path: &Path, bytes: &[u8], before_rename: &dyn Fn()) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    {
        // Evidence is there to be read; the umask still applies.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    let mut temporary = builder.tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    before_rename();
    temporary.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

/// A file that is there already is fine if it is a file, and the same.
fn accept_equal(path: &Path, bytes: &[u8]) -> Result<(PathBuf, String), PublishError> {
    let sha256_there = digest_of_file(path)?;
    let sha256_new = sha256_hex(bytes);
    if sha256_there == sha256_new {
        Ok((path.to_owned(), sha256_there))
    } else {
        Err(PublishError::LocalExists { path: path.to_owned(), sha256_there, sha256_new })
    }
}

fn digest_of_file(path: &Path) -> Result<String, PublishError> {
    let failed = |source| PublishError::LocalWrite { path: path.to_owned(), action: "read the file again", source };
    // A link could lead out of the folder.
    if !fs::symlink_metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    Ok(sha256_hex(&fs::read(path).map_err(failed)?))
}

/// The first link on the way from `root` down to `path`, with what it leads to. The root itself may be one: the user named it.
pub(crate) fn link_on_the_way(root: &Path, path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut here = root.to_owned();
    path.strip_prefix(root).ok()?.components().find_map(|part| {
        here.push(part);
        fs::read_link(&here).ok().map(|to| (here.clone(), to))
    })
}

/// Every file below `root` with its SHA-256, by its path with `/`; unfinished writes are none.
///
/// # Errors
/// When a folder or file cannot be read, or is a link: what it leads to is no file of this folder.
pub fn digests_below(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry?;
        let unfinished = entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX);
        if entry.file_type().is_dir() || unfinished {
            continue;
        }
        if entry.path_is_symlink() {
            return Err(io::Error::other(format!("{} is a link", entry.path().display())));
        }
        let below = entry.path().strip_prefix(root).map_err(io::Error::other)?;
        let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        found.push((parts.join("/"), sha256_hex(&fs::read(entry.path())?)));
    }
    Ok(found)
}

/// The folder itself, or the nearest one above it, that is there already.
fn nearest_standing(folder: &Path) -> &Path {
    let named = |folder: &&Path| !folder.as_os_str().is_empty();
    let mut above = folder.ancestors().take_while(named);
    above.find(|folder| folder.exists()).unwrap_or(Path::new("."))
}

/// Makes the new entries durable: the file's folder, and each folder above it up to the one that was there before.
fn sync_folders(folder: &Path, standing: &Path) -> io::Result<()> {
    let new = folder.ancestors().take_while(|above| *above != standing && !above.as_os_str().is_empty());
    for folder in new.chain([standing]) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
