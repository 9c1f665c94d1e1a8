//! The plan's own laws, as checks of documents and of pinned values read them.

use serde::{Deserialize, Serialize};
use support::run::check::{Judged, Unmet};
use support::run::context::LaneRun;

/// One law of a lane's decision pins, and the code that the plan defines for its breach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Law {
    pub name: String,
    pub clauses: Vec<String>,
    pub code: String,
    /// What the plan says of the code; none where it does not define it.
    pub code_meaning: Option<String>,
}

impl Law {
    /// The law `name` of `lane`, as the plan has it; without clauses where it has none.
    pub(super) fn read(run: &LaneRun<'_>, lane: &str, name: &str, code: &str) -> Self {
        Self {
            name: name.to_owned(),
            clauses: clauses(run, lane, name),
            code: code.to_owned(),
            code_meaning: run.plan().code(code).map(|planned| planned.meaning.clone()),
        }
    }

    /// Met when for each of `sayings` some clause has all its words, and the plan defines the law's code.
    pub(super) fn says(&self, sayings: &[&[&str]]) -> Judged {
        if self.clauses.is_empty() {
            return Err(Unmet::from(format!("the plan has no `{}`", self.name)));
        }
        for words in sayings {
            if !self.clauses.iter().any(|clause| words.iter().all(|word| clause.contains(word))) {
                return Err(Unmet::from(format!("no clause of `{}` has {}", self.name, words.join(", "))));
            }
        }
        match &self.code_meaning {
            Some(meaning) if !meaning.trim().is_empty() => Ok(format!(
                "`{}` says it in {} clause(s); {} opens when it is broken",
                self.name,
                self.clauses.len(),
                self.code
            )),
            _ => Err(Unmet::from(format!("the plan does not define {}, by which `{}` holds", self.code, self.name))),
        }
    }
}

/// The clauses of a law of a lane.
pub(super) fn clauses(run: &LaneRun<'_>, lane: &str, name: &str) -> Vec<String> {
    let of = |law: &&support::plan::Law| law.lane.as_deref() == Some(lane) && law.name == name;
    run.plan().laws.iter().filter(of).flat_map(|law| law.clauses.clone()).collect()
}

/// The clauses of all laws of a lane.
pub(super) fn clauses_of_lane(run: &LaneRun<'_>, lane: &str) -> Vec<String> {
    run.plan().laws.iter().filter(|law| law.lane.as_deref() == Some(lane)).flat_map(|law| law.clauses.clone()).collect()
}

/// The value that a law gives a handle: the one other code span of the one clause that names the handle first.
///
/// # Errors
/// In words, when no clause does, or several disagree.
pub(super) fn value_of(clauses: &[String], handle: &str) -> Result<String, String> {
    let mut values: Vec<&str> = clauses
        .iter()
        .filter_map(|clause| {
            let spans: Vec<&str> = clause.split('`').skip(1).step_by(2).collect();
            match spans.as_slice() {
                [named, value] if *named == handle => Some(*value),
                _ => None,
            }
        })
        .collect();
    values.dedup();
    match values.as_slice() {
        [value] => Ok((*value).to_owned()),
        [] => Err(format!("no law of the plan gives {handle} a value; write it as `{handle}` … `<value>`")),
        several => Err(format!("the plan's laws give {handle} several values: {}", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["`A` must remain `one`."], Ok("one"))]
    #[case(&["without `A` (`one`) nothing goes on"], Ok("one"))]
    #[case(&["`A` is the only one", "`A` stays `one`", "`A` is `one`"], Ok("one"))]
    #[case(&["`A` stays `one`", "`A` stays `two`"], Err("several values: one, two"))]
    #[case(&["`one` is the value of `A`"], Err("no law of the plan"))]
    #[case(&["`A` is `one` or `two`"], Err("no law of the plan"))]
    #[case(&[], Err("no law of the plan"))]
    fn a_law_gives_one_value_or_none(#[case] clauses: &[&str], #[case] is: Result<&str, &str>) {
        let clauses: Vec<String> = clauses.iter().map(|clause| (*clause).to_owned()).collect();
        match (value_of(&clauses, "A"), is) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case(&["the key is `id`", "it fails closed"], Some("taken"), None)]
    #[case(&["the key is `id`"], Some("taken"), Some("no clause of `Lock law` has fails closed"))]
    #[case(&["the key is free", "`id` fails closed"], Some("taken"), Some("no clause of `Lock law` has key, `id`"))]
    #[case(&[], Some("taken"), Some("has no `Lock law`"))]
    #[case(&["the key is `id`", "it fails closed"], None, Some("does not define M9-B1"))]
    fn a_law_must_say_its_words_and_have_its_code(
        #[case] clauses: &[&str],
        #[case] meaning: Option<&str>,
        #[case] refused: Option<&str>,
    ) {
        let law = Law {
            name: "Lock law".to_owned(),
            clauses: clauses.iter().map(|clause| (*clause).to_owned()).collect(),
            code: "M9-B1".to_owned(),
            code_meaning: meaning.map(str::to_owned),
        };
        match (law.says(&[&["key", "`id`"], &["fails closed"]]), refused) {
            (Ok(_), None) => {}
            (Err(unmet), Some(says)) => assert!(unmet.why.contains(says), "{}", unmet.why),
            (other, _) => panic!("{other:?}"),
        }
    }
}
