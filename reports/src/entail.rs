//! Which open codes stand for themselves, and which follow from others.

use std::collections::{BTreeMap, BTreeSet};

use support::run::outcome::Entails;

/// Every open code once: as a root, or as one that follows, with its roots.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sorted {
    /// Codes that stand for themselves.
    pub(crate) roots: BTreeSet<String>,
    /// Codes that follow, each with the roots that it follows from; never without one.
    pub(crate) entailed: BTreeMap<String, BTreeSet<String>>,
}

/// Sorts the codes that findings opened by the phase's table.
///
/// A code is a root unless another opened code leads to it. Codes that lead to each other in a
/// circle, and to which nothing outside leads, are all roots: none of them explains the others.
pub(crate) fn sort(opened: &BTreeSet<&str>, table: &[Entails]) -> Sorted {
    let follows = links(opened, table);
    let reach: BTreeMap<&str, BTreeSet<&str>> = opened.iter().map(|code| (*code, reachable(code, &follows))).collect();
    let leads = |from: &str, to: &str| reach.get(from).is_some_and(|codes| codes.contains(to));
    let roots: BTreeSet<&str> = opened
        .iter()
        .copied()
        .filter(|code| opened.iter().all(|other| !leads(other, code) || leads(code, other)))
        .collect();
    let mut entailed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for root in &roots {
        for code in reach.get(root).into_iter().flatten().filter(|code| !roots.contains(*code)) {
            entailed.entry((*code).to_owned()).or_default().insert((*root).to_owned());
        }
    }
    Sorted { roots: roots.into_iter().map(str::to_owned).collect(), entailed }
}

/// The table's entries that count here, by root.
fn links<'a>(opened: &BTreeSet<&'a str>, table: &'a [Entails]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut follows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let by_any = |code: &str| table.iter().any(|entry| entry.root == Entails::ANY && entry.code == code);
    for entry in table {
        let counts = !entry.only_if_open || opened.contains(entry.code.as_str());
        if counts && entry.root == Entails::ANY {
            // Those that follow from any do not explain each other.
            for root in opened.iter().filter(|root| !by_any(root)) {
                follows.entry(root).or_default().insert(&entry.code);
            }
        } else if counts && entry.root != entry.code {
            follows.entry(&entry.root).or_default().insert(&entry.code);
        }
    }
    follows
}

/// All codes that follow from `code`, over any number of steps; `code` itself counts as such.
fn reachable<'a>(code: &'a str, follows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([code]);
    let mut next = vec![code];
    while let Some(from) = next.pop() {
        for to in follows.get(from).into_iter().flatten() {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::sort;
    use rstest::rstest;
    use std::collections::BTreeSet;
    use support::run::outcome::Entails;

    /// `A>B` always, `A?B` only where B is open too.
    fn table(text: &str) -> Vec<Entails> {
        text.split_whitespace()
            .map(|entry| {
                let only_if_open = entry.contains('?');
                let (root, code) = entry.split_once(['>', '?']).unwrap();
                Entails { root: root.to_owned(), code: code.to_owned(), only_if_open }
            })
            .collect()
    }

    #[rstest]
    #[case::nothing_open("", "A>B", "", "")]
    #[case::no_entry("A", "", "A", "")]
    #[case::one_step("A", "A>P", "A", "P<A")]
    #[case::opened_too_is_no_root("A P", "A>P", "A", "P<A")]
    #[case::alone_it_is_a_root("P", "A>P", "P", "")]
    #[case::two_roots("A B", "A>P B>P", "A B", "P<A,B")]
    #[case::chain("A", "A>B B>C C>D", "A", "B<A C<A D<A")]
    #[case::chain_through_an_open_code("A B", "A>B B>C", "A", "B<A C<A")]
    #[case::only_if_open_and_closed("A", "A?P", "A", "")]
    #[case::only_if_open_and_open("A P", "A?P", "A", "P<A")]
    #[case::only_if_open_does_not_pass_on("A", "A?P P>Q", "A", "")]
    #[case::only_entailed_does_not_make_it_open("A", "A>B B?P", "A", "B<A")]
    #[case::itself("A", "A>A", "A", "")]
    #[case::itself_and_more("A", "A>A A>P", "A", "P<A")]
    #[case::circle_of_open_codes("A B", "A>B B>A", "A B", "")]
    #[case::circle_with_one_open("A", "A>B B>A", "A", "B<A")]
    #[case::circle_behind_a_root("R A B", "R>A A>B B>A", "R", "A<R B<R")]
    #[case::circle_that_brings_one("A B", "A>B B>A A>P", "A B", "P<A,B")]
    #[case::diamond("A", "A>B A>C B>D C>D", "A", "B<A C<A D<A")]
    fn codes_are_sorted(#[case] opened: &str, #[case] entries: &str, #[case] roots: &str, #[case] entailed: &str) {
        let table = table(entries);
        let opened: BTreeSet<&str> = opened.split_whitespace().collect();
        let sorted = sort(&opened, &table);
        let by: Vec<String> = sorted
            .entailed
            .iter()
            .map(|(code, by)| format!("{code}<{}", by.iter().cloned().collect::<Vec<_>>().join(",")))
            .collect();
        assert_eq!(sorted.roots.into_iter().collect::<Vec<_>>().join(" "), roots);
        assert_eq!(by.join(" "), entailed);
    }
}
