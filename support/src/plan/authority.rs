//! Authority inputs and recorded execution ids: what a plan points at.

use std::path::PathBuf;

use super::contracts::file_name;
use super::items::Item;
use super::marks::code_spans;
use super::model::{AuthorityInput, AuthorityKind, AuthorityRank};
use super::source::Source;

/// The document that an entry of the authority section points at.
pub(crate) fn input(item: &Item<'_>, rank: AuthorityRank, source: &Source) -> Option<AuthorityInput> {
    let path = code_spans(&item.text)
        .into_iter()
        .find(|span| span.contains(['/', '.']) && !span.contains(char::is_whitespace))?;
    Some(AuthorityInput {
        path: PathBuf::from(path),
        rank,
        kind: kind(path),
        note: item.text.replacen(&format!("`{path}`"), "", 1).trim().to_owned(),
        place: source.place(item.line),
    })
}

fn kind(path: &str) -> AuthorityKind {
    let name = file_name(path);
    match () {
        () if name.contains("handles.registry") => AuthorityKind::Registry,
        () if name.contains("run_process_flow") => AuthorityKind::Runbook,
        () if path.starts_with("runs/") && name.ends_with(".json") => AuthorityKind::Handoff,
        () if name.starts_with("platform.") && name.ends_with("build_plan.md") => AuthorityKind::Plan,
        () => AuthorityKind::Other,
    }
}

/// The rank that a label of the section gives.
pub(crate) fn rank(label: Option<&str>) -> AuthorityRank {
    match label.map(str::to_ascii_lowercase) {
        None => AuthorityRank::Primary,
        Some(label) if label.starts_with("primary") || label.starts_with("execution authority") => {
            AuthorityRank::Primary
        }
        Some(_) => AuthorityRank::Supporting,
    }
}

/// An execution id that an item is about: `` `m3b_20260223T184232Z` `` alone, or behind
/// `execution id:`.
pub(crate) fn execution_id(text: &str) -> Option<&str> {
    let behind = text.strip_prefix("execution id:").unwrap_or(text).trim_start();
    let (id, _) = behind.strip_prefix('`')?.split_once('`')?;
    is_execution_id(id).then_some(id)
}

/// `m3b_<YYYYMMDDTHHMMSSZ>`.
fn is_execution_id(id: &str) -> bool {
    let Some((lane, stamp)) = id.split_once('_') else {
        return false;
    };
    let letters = lane.trim_start_matches('m').trim_start_matches(|next: char| next.is_ascii_digit());
    let shape = stamp.bytes().enumerate().all(|(at, byte)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    lane.starts_with('m')
        && lane.len() > letters.len() + 1
        && letters.bytes().all(|byte| byte.is_ascii_lowercase())
        && stamp.len() == 16
        && shape
}

/// Whether the label above an execution id calls it the one that counts.
pub(crate) fn is_authoritative(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    label.contains("authoritative") || label.contains("latest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("`m3b_20260223T184232Z`", Some("m3b_20260223T184232Z"))]
    #[case("execution id: `m3c_20260223T185814Z`", Some("m3c_20260223T185814Z"))]
    #[case("`m3_20260213T221631Z`,", Some("m3_20260213T221631Z"))]
    #[case("`platform_20260213T214223Z`", None)]
    #[case("`m3_<YYYYMMDDThhmmssZ>`", None)]
    #[case("`m_20260213T221631Z`", None)]
    #[case("prior attempt `m3b_20260223T183752Z` had drift", None)]
    fn execution_ids(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(execution_id(text), expected);
    }

    #[rstest]
    #[case("docs/x/dev_min_handles.registry.v0.md", AuthorityKind::Registry)]
    #[case("docs/x/dev_min_spine_green_v0_run_process_flow.md", AuthorityKind::Runbook)]
    #[case("runs/a/b/m3_handoff_pack.json", AuthorityKind::Handoff)]
    #[case("docs/x/platform.M2.build_plan.md", AuthorityKind::Plan)]
    #[case("docs/x/platform.impl_actual.md", AuthorityKind::Other)]
    fn kinds(#[case] path: &str, #[case] expected: AuthorityKind) {
        assert_eq!(kind(path), expected);
    }
}
