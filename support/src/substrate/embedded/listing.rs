//! Pages of objects and versions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::store::{Bucket, Content, Version};

/// AWS lists at most so many on a page.
const MOST_ON_A_PAGE: usize = 1000;

/// One page, and where the next one starts.
pub(super) struct Page<T, M> {
    pub items: Vec<T>,
    pub next: Option<M>,
}

/// A version in a list.
pub(super) struct Listed<'a> {
    pub key: &'a str,
    pub version: &'a Version,
    pub latest: bool,
}

/// An object in a list.
pub(super) struct Current<'a> {
    pub key: &'a str,
    pub version: &'a Version,
    pub content: &'a Content,
}

/// How many may be on a page: what was asked, at most what AWS gives.
pub(super) fn page_size(asked: Option<i32>) -> Option<usize> {
    match asked {
        None => Some(MOST_ON_A_PAGE),
        Some(asked) => usize::try_from(asked).ok().map(|asked| asked.min(MOST_ON_A_PAGE)),
    }
}

/// The objects after key `after`.
pub(super) fn objects<'a>(
    bucket: &'a Bucket,
    prefix: &str,
    after: Option<&str>,
    size: usize,
) -> Page<Current<'a>, String> {
    let mut items: Vec<Current<'a>> = bucket
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
        .filter_map(|(key, versions)| {
            let version = versions.last()?;
            let content = version.content.as_ref()?;
            Some(Current { key, version, content })
        })
        .take(size + 1)
        .collect();
    let next = cut(&mut items, size).then(|| items.last().map(|last| last.key.to_owned()));
    Page { items, next: next.flatten() }
}

/// The versions and delete markers after `after` (a key, and a version of it), newest first within
/// a key.
pub(super) fn versions<'a>(
    bucket: &'a Bucket,
    prefix: &str,
    after: Option<(&str, Option<&str>)>,
    size: usize,
) -> Page<Listed<'a>, (String, String)> {
    let mut items: Vec<Listed<'a>> = bucket
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .flat_map(|(key, versions)| {
            versions.iter().rev().enumerate().map(move |(age, version)| Listed { key, version, latest: age == 0 })
        })
        .collect();
    if let Some(marker) = after {
        items = after_marker(items, marker);
    }
    let next = cut(&mut items, size).then(|| items.last().map(|last| (last.key.to_owned(), last.version.id.clone())));
    Page { items, next: next.flatten() }
}

fn after_marker<'a>(items: Vec<Listed<'a>>, (key, version): (&str, Option<&str>)) -> Vec<Listed<'a>> {
    let mut seen = false;
    items
        .into_iter()
        .filter(|item| match version {
            Some(version) if item.key == key => {
                let follows = seen;
                seen |= item.version.id == version;
                follows
            }
            _ => item.key > key,
        })
        .collect()
}

/// Cuts `items` to `size`; whether there were more. A page of no items never announces another.
fn cut<T>(items: &mut Vec<T>, size: usize) -> bool {
    let more = size > 0 && items.len() > size;
    items.truncate(size);
    more
}

/// The token that leads to the page after `key`.
pub(super) fn token(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key that a token stands for.
pub(super) fn key_of_token(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}
