//! Names of cases.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use super::model::Plan;
use super::source::Place;

/// The longest slug, in bytes.
const SLUG_LIMIT: usize = 60;

/// The name of one case, and what it judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseName {
    /// `dev_full::M3.B::dod-2::collision_probes_are_evidenced`,
    /// `dev_full::M3.B::M3B-V2-COLLISION-PROBE`.
    pub name: String,
    /// What it names.
    pub subject: CaseSubject,
    /// Where that stands.
    pub place: Place,
}

impl fmt::Display for CaseName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

/// What a case judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaseSubject {
    /// The box at this index of [`Plan::boxes`].
    Box(usize),
    /// The row at this index of [`Plan::rows`].
    Row(usize),
}

/// Two lines of a plan that would make cases of one name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{first} and {second}: both make a case named `{name}`; give one of the two another id")]
pub struct AlikeNames {
    /// The name.
    pub name: String,
    /// The line that comes first.
    pub first: Place,
    /// The line that comes second.
    pub second: Place,
}

/// The cases of a plan, in the order of the document.
///
/// # Errors
/// When two lines make cases of one name: every such pair, the earlier line first.
pub fn case_names(plan: &Plan) -> Result<Vec<CaseName>, Vec<AlikeNames>> {
    let boxes = plan.boxes.iter().enumerate().map(|(index, item)| CaseName {
        name: format!(
            "{}::{}::{}-{}::{}",
            plan.track,
            item.lane.as_deref().unwrap_or(&plan.phase),
            item.kind.word(),
            item.number,
            slug(&item.text)
        ),
        subject: CaseSubject::Box(index),
        place: item.place.clone(),
    });
    let rows = plan.rows.iter().enumerate().map(|(index, row)| CaseName {
        name: format!("{}::{}::{}", plan.track, row.lane, row.id),
        subject: CaseSubject::Row(index),
        place: row.place.clone(),
    });
    let mut cases: Vec<CaseName> = boxes.chain(rows).collect();
    cases.sort_by_key(|case| case.place.line);
    let alike = alike(&cases);
    if alike.is_empty() { Ok(cases) } else { Err(alike) }
}

fn alike(cases: &[CaseName]) -> Vec<AlikeNames> {
    let mut seen: HashMap<&str, &Place> = HashMap::with_capacity(cases.len());
    let mut alike = Vec::new();
    for case in cases {
        match seen.get(case.name.as_str()) {
            Some(first) => {
                alike.push(AlikeNames { name: case.name.clone(), first: (*first).clone(), second: case.place.clone() })
            }
            None => {
                seen.insert(&case.name, &case.place);
            }
        }
    }
    alike
}

/// A text as a name: ASCII letters and digits in lower case, one `_` for everything between, at
/// most 60 bytes. A text without any of them is named `text`.
fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(SLUG_LIMIT);
    for next in text.bytes() {
        if next.is_ascii_alphanumeric() {
            slug.push(char::from(next.to_ascii_lowercase()));
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
        if slug.len() == SLUG_LIMIT {
            break;
        }
    }
    let slug = slug.trim_end_matches('_');
    if slug.is_empty() { "text".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::slug;
    use rstest::rstest;

    #[rstest]
    #[case("collision probes are evidenced.", "collision_probes_are_evidenced")]
    #[case("`M1.B` entrypoint matrix", "m1_b_entrypoint_matrix")]
    #[case("größer – als", "gr_er_als")]
    #[case("→ ✓", "text")]
    #[case(
        "a123456789 b123456789 c123456789 d123456789 e123456789 f123 tail",
        "a123456789_b123456789_c123456789_d123456789_e123456789_f123"
    )]
    fn slugs(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(slug(text), expected);
        assert!(slug(text).len() <= 60);
    }
}
