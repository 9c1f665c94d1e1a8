//! What a list means: told by the innermost label or heading above it that says so.

/// The meaning of a list or a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// Boxes that define a lane as done.
    Dod,
    /// Plain bullets that summarise a later phase's definition of done.
    DodSummary,
    /// A phase's completion checklist.
    Checklist,
    /// Boxes that follow the sub-phases of a phase.
    Progress,
    /// A list that defines blocker codes.
    Definition,
    /// Blockers that are said to be open, outside a register.
    Claims,
    /// The section that registers blockers.
    Register,
    /// The register's open entries.
    RegisterOpen,
    /// The register's closed entries.
    RegisterResolved,
    /// Decision pins: laws with their clauses.
    Laws,
    /// Evidence files.
    Contract,
    /// Fields that an evidence file must have.
    MinimumFields,
    /// A lane's goal.
    Goal,
    /// A lane's tasks.
    Tasks,
    /// Names of the predicates of a verdict.
    Predicates,
    /// Paths that the plan obeys.
    Authority,
    /// Reports of what was planned or happened: nothing there is asked or defined.
    Narrative,
}

/// The words of a label in lower case. Comparing words is much cheaper than searching the text for
/// each phrase, and this runs for every label and most list items of a plan.
struct Words<'t>(Vec<&'t str>);

impl<'t> Words<'t> {
    fn of(lower: &'t str) -> Self {
        let parts = lower.split(|next: char| !next.is_ascii_alphanumeric());
        let mut words = Vec::with_capacity(12);
        words.extend(parts.filter(|part| !part.is_empty()));
        Self(words)
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.has(word))
    }

    /// Whether these words stand together, in this order.
    fn phrase(&self, words: &[&str]) -> bool {
        self.0.windows(words.len()).any(|window| window == words)
    }

    fn are(&self, words: &[&str]) -> bool {
        self.0 == words
    }

    fn blocker(&self) -> bool {
        self.any(&["blocker", "blockers"])
    }
}

/// The meaning of a heading for everything below it.
pub(crate) fn of_heading(heading: &str) -> Option<Context> {
    let lower = heading.to_ascii_lowercase();
    let words = Words::of(&lower);
    Some(match () {
        () if words.phrase(&["blocker", "register"]) => Context::Register,
        () if words.phrase(&["blocker", "taxonomy"]) || words.phrase(&["blocker", "model"]) => Context::Definition,
        () if words.phrase(&["completion", "checklist"]) => Context::Checklist,
        () if words.phrase(&["decision", "pins"]) => Context::Laws,
        () if words.phrase(&["evidence", "contract"]) => Context::Contract,
        () if words.phrase(&["authority", "inputs"]) || words.phrase(&["authority", "and", "precedence"]) => {
            Context::Authority
        }
        () if is_narrative(&words) => Context::Narrative,
        () => return None,
    })
}

/// The meaning of a label: a paragraph that ends with a colon, above its list.
pub(crate) fn of_label(label: &str) -> Option<Context> {
    let lower = label.to_ascii_lowercase();
    let words = Words::of(&lower);
    if words.are(&["blockers"]) || words.phrase(&["blocker", "codes"]) {
        return Some(Context::Definition);
    }
    of_words(&words)
}

/// The meaning of a list item that ends with a colon, for the items below it. A bare `blockers:`
/// there reports an execution's blockers and defines none.
pub(crate) fn of_item(label: &str) -> Option<Context> {
    let lower = label.to_ascii_lowercase();
    of_words(&Words::of(&lower))
}

fn of_words(words: &Words<'_>) -> Option<Context> {
    if words.blocker() {
        return of_blocker_words(words);
    }
    Some(match () {
        () if words.has("dod") && words.has("summary") => Context::DodSummary,
        () if words.has("dod") => Context::Dod,
        () if words.phrase(&["completion", "checklist"]) => Context::Checklist,
        () if words.has("progress") => Context::Progress,
        () if words.phrase(&["fail", "closed", "policy"]) => Context::Definition,
        () if words.phrase(&["decision", "pins"]) => Context::Laws,
        () if words.has("minimum") && words.has("fields") => Context::MinimumFields,
        () if words.has("minimum") && words.has("evidence") => Context::Contract,
        () if words.phrase(&["evidence", "contract"]) => Context::Contract,
        () if words.are(&["goal"]) || words.are(&["objective"]) => Context::Goal,
        () if words.are(&["tasks"]) || words.are(&["implementation", "tasks"]) => Context::Tasks,
        () if words.0.starts_with(&["evaluate", "predicates"]) => Context::Predicates,
        () if is_narrative(words) => Context::Narrative,
        () => return None,
    })
}

fn of_blocker_words(words: &Words<'_>) -> Option<Context> {
    let of_the_past = words.any(&["historical", "remediation", "handling", "resolved", "were"]);
    let defines = words.any(&["taxonomy", "ids"])
        || words.phrase(&["blocker", "model"])
        || words.phrase(&["lane", "specific"])
        || words.phrase(&["closure", "blockers"])
        || words.phrase(&["sub", "blocker"])
        || words.phrase(&["sub", "blockers"]);
    let claims = words.has("current")
        || words.phrase(&["pre", "execution"])
        || words.phrase(&["expected", "entry"])
        || words.phrase(&["open", "blocker"])
        || words.phrase(&["open", "blockers"]);
    Some(match () {
        () if of_the_past => Context::Narrative,
        () if defines => Context::Definition,
        () if claims => Context::Claims,
        () if words.any(&["adjudication", "note", "status"]) => Context::Narrative,
        () => return None,
    })
}

/// Labels of reports: `M3.A planning status`, `M3.A execution status`, `M3.A closure rule` …
fn is_narrative(words: &Words<'_>) -> bool {
    let reports = words.0.windows(2).any(|pair| {
        matches!(
            pair,
            ["planning", "status" | "precheck" | "posture"]
                | ["execution", "status" | "result" | "closure" | "summary"]
                | ["closure", "rule" | "summary"]
                | ["evidence", "root" | "roots"]
        )
    });
    reports || matches!(words.0.as_slice(), ["notes" | "note" | "rule" | "rules"])
}

/// Which half of a register a label opens.
pub(crate) fn of_register_label(label: &str) -> Context {
    let lower = label.to_ascii_lowercase();
    let words = Words::of(&lower);
    match () {
        () if words.any(&["resolved", "closed"]) => Context::RegisterResolved,
        () if words.blocker() || words.any(&["current", "open", "active", "unresolved"]) => Context::RegisterOpen,
        () => Context::Narrative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("DoD:", Some(Context::Dod))]
    #[case("DoD checklist:", Some(Context::Dod))]
    #[case("M1 DoD checklist:", Some(Context::Dod))]
    #[case("DoD anchors:", Some(Context::Dod))]
    #[case("DoD (summary):", Some(Context::DodSummary))]
    #[case("DoD summary:", Some(Context::DodSummary))]
    #[case("M3 sub-phase progress:", Some(Context::Progress))]
    #[case("Blockers:", Some(Context::Definition))]
    #[case("M3.A blocker taxonomy (fail-closed):", Some(Context::Definition))]
    #[case("M2.B fail-closed policy (planned):", Some(Context::Definition))]
    #[case("Current pre-execution blockers (fail-closed):", Some(Context::Claims))]
    #[case("M2.G expected entry blocker (historical):", Some(Context::Narrative))]
    #[case("M1.A blocker adjudication (closure):", Some(Context::Narrative))]
    #[case("M3.A decision pins (closed before execution):", Some(Context::Laws))]
    #[case("`m3a_x.json` minimum fields:", Some(Context::MinimumFields))]
    #[case("Minimum M4 evidence payloads:", Some(Context::Contract))]
    #[case("M3.A planning status (pre-execution historical):", Some(Context::Narrative))]
    #[case("Handoff posture:", None)]
    fn labels(#[case] label: &str, #[case] expected: Option<Context>) {
        assert_eq!(of_label(label), expected);
    }

    #[rstest]
    #[case("blockers:", None)]
    #[case("Blocker taxonomy:", Some(Context::Definition))]
    #[case("Use blocker IDs:", Some(Context::Definition))]
    #[case("Any unresolved M1.C sub-blocker fails M1 closure:", Some(Context::Definition))]
    #[case("Resolved blockers:", Some(Context::Narrative))]
    #[case("Known open blockers before execution were:", Some(Context::Narrative))]
    #[case("Pre-execution open blocker to close before runtime execution:", Some(Context::Claims))]
    #[case("Sub-phase progress:", Some(Context::Progress))]
    #[case("Snapshot minimum fields (`m3_c_digest_snapshot.json`):", Some(Context::MinimumFields))]
    fn item_labels(#[case] label: &str, #[case] expected: Option<Context>) {
        assert_eq!(of_item(label), expected);
    }

    #[rstest]
    #[case("## 8.1) Unresolved Blocker Register (Must Be Empty Before M3 Execution)", Some(Context::Register))]
    #[case("## 6) M3 Blocker Taxonomy (Fail-Closed)", Some(Context::Definition))]
    #[case("### M2.G-E Blocker Model (Fail-Closed)", Some(Context::Definition))]
    #[case("### M3.I Gate Rollup and Blocker Adjudication", None)]
    #[case("### M3.F Pass Gates, Blockers, and Verdict", None)]
    fn headings(#[case] heading: &str, #[case] expected: Option<Context>) {
        assert_eq!(of_heading(heading), expected);
    }
}
