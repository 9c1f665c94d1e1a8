//! The walk through a document: headings give lanes, labels give meanings, lists and tables give
//! the plan.

mod boxes;
mod records;
mod tables;

use comrak::Node;
use comrak::nodes::{ListType, NodeValue, Sourcepos};

use super::authority;
use super::codes::{self, Claim, CodeDefinition, CodeOrigin};
use super::context::{self, Context};
use super::contracts;
use super::error::{Diagnostic, PlanError, PlanErrorKind, Severity};
use super::items::{self, DEPTH_LIMIT, Found, Item};
use super::marks::{self, code_spans};
use super::model::{
    CodeLine, EvidenceContract, ExecutionId, LanePlan, Law, MASTER, MinimumFields, Plan, Predicate, SummaryRequirement,
    Task,
};
use super::registers::{self, Register};
use super::source::Lines;
use super::sweep::Read;

/// A heading that is open: everything up to the next one of its level or above stands below it.
struct OpenHeading {
    level: u8,
    lane: Option<String>,
    context: Option<Context>,
    /// Whether the context comes from the title of the lane: words that say what the lane is about, and not what each
    /// list in it is.
    from_title: bool,
}

/// A label: the line of words above a list.
struct Label {
    text: String,
    line: usize,
}

/// Where a list stands.
#[derive(Clone, Copy)]
struct Setting<'t> {
    context: Option<Context>,
    /// The innermost label.
    label: &'t str,
    label_line: usize,
    /// Lists between this one and the label that gives the context.
    depth: usize,
}

/// What is known while a document is read.
pub(crate) struct Reader<'s> {
    pub plan: Plan,
    pub errors: Vec<PlanError>,
    pub doubts: Vec<Diagnostic>,
    pub read: Read,
    /// Headings of registers that have a list of current blockers.
    pub listed_registers: Vec<usize>,
    lines: &'s Lines<'s>,
    headings: Vec<OpenHeading>,
    label: Option<Label>,
    /// Line of the last list whose boxes were called into doubt, so that each list is named once.
    doubted: Option<usize>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(plan: Plan, lines: &'s Lines<'s>) -> Self {
        Self {
            plan,
            errors: Vec::new(),
            doubts: Vec::new(),
            read: Read::default(),
            listed_registers: Vec::new(),
            lines,
            headings: Vec::new(),
            label: None,
            doubted: None,
        }
    }

    pub(crate) fn lines(&self) -> &'s Lines<'s> {
        self.lines
    }

    pub(crate) fn error(&mut self, line: usize, kind: PlanErrorKind) {
        self.errors.push(PlanError {
            place: self.plan.source.place(line),
            line: self.lines.get(line).to_owned(),
            kind,
        });
    }

    fn doubt(&mut self, line: usize, message: String, help: &str) {
        self.doubts.push(Diagnostic {
            severity: Severity::Doubt,
            place: self.plan.source.place(line),
            line: self.lines.get(line).to_owned(),
            message,
            help: help.to_owned(),
        });
    }

    /// Reads the blocks of the document in order.
    pub(crate) fn document<'a>(&mut self, root: Node<'a>) {
        let mut nodes = root.children().peekable();
        while let Some(node) = nodes.next() {
            self.code_below(node);
            let data = node.data();
            let position = data.sourcepos;
            match data.value {
                NodeValue::Heading(heading) => {
                    drop(data);
                    self.heading(heading.level, position.start.line);
                }
                NodeValue::Paragraph => {
                    drop(data);
                    self.paragraph(position);
                }
                NodeValue::List(_) => {
                    drop(data);
                    let mut found = items::read(node, self.lines);
                    while let Some(more) = nodes.next_if(|next| continues(node, next)) {
                        self.code_below(more);
                        found.append(items::read(more, self.lines));
                    }
                    self.list(found);
                }
                NodeValue::Table(_) => {
                    drop(data);
                    self.table(node);
                }
                NodeValue::ThematicBreak => self.label = None,
                // Code, quotes and HTML are no part of the plan; what looks like a part of it there
                // is found by the sweep.
                _ => {}
            }
        }
    }

    /// Keeps the lines of the blocks of code in a part of the document, however deep they stand.
    fn code_below<'a>(&mut self, part: Node<'a>) {
        let lane = self.headings.last().and_then(|open| open.lane.clone());
        for node in part.descendants() {
            let data = node.data();
            let NodeValue::CodeBlock(ref block) = data.value else { continue };
            // Of a fenced block the first line is the fence.
            let first = data.sourcepos.start.line + usize::from(block.fenced);
            let mut joined: Option<(usize, String)> = None;
            for (number, line) in block.literal.lines().enumerate() {
                let (at, mut text) = joined.take().unwrap_or((first + number, String::new()));
                let line = line.trim();
                text.push_str(line.trim_end_matches('\\'));
                if line.ends_with('\\') {
                    joined = Some((at, text));
                } else {
                    self.code_line(&lane, at, &text);
                }
            }
            if let Some((at, text)) = joined {
                self.code_line(&lane, at, &text);
            }
        }
    }

    fn code_line(&mut self, lane: &Option<String>, line: usize, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            self.plan.code_lines.push(CodeLine { lane: lane.clone(), text, place: self.plan.source.place(line) });
        }
    }

    fn heading(&mut self, level: u8, line: usize) {
        self.label = None;
        let raw = self.lines.get(line).trim();
        let text = raw.trim_matches('#').trim();
        if self.plan.title.is_empty() && level == 1 {
            text.clone_into(&mut self.plan.title);
        }
        self.headings.retain(|open| open.level < level);
        let own = context::of_heading(text);
        let named = self.scope_of(text);
        let (lane, context, from_title) = match named {
            // A lane begins afresh: what stands above it does not reach into it.
            Some((lane, title)) => {
                let first = self.open_lane(&lane, title, line);
                (Some(lane), own, first)
            }
            None => {
                let above = self.headings.last();
                let context = own.or_else(|| above.and_then(|open| open.context));
                let from_title = own.is_none() && above.is_some_and(|open| open.from_title);
                (above.and_then(|open| open.lane.clone()), context, from_title)
            }
        };
        if own == Some(Context::Register) {
            self.plan.registers.push(Register {
                must_be_empty: text.to_ascii_lowercase().contains("must be empty"),
                open: Vec::new(),
                resolved: Vec::new(),
                place: self.plan.source.place(line),
            });
        }
        self.headings.push(OpenHeading { level, lane, context, from_title });
    }

    /// The lane, or in a master plan the phase, that a heading opens, and the words behind it.
    fn scope_of<'t>(&self, heading: &'t str) -> Option<(String, &'t str)> {
        if let Some((lane, rest)) = marks::lane(heading) {
            return Some((lane.to_owned(), rest.trim_start_matches([' ', '-', '–', '—', ':'])));
        }
        if self.plan.phase != MASTER {
            return None;
        }
        let (phase, rest) = marks::phase(heading)?;
        let title = rest.trim_start().strip_prefix(['-', '–', '—', ':'])?;
        Some((phase.to_owned(), title.trim_start()))
    }

    /// Whether this heading is the lane's first, and so its title.
    fn open_lane(&mut self, id: &str, title: &str, line: usize) -> bool {
        let first = self.plan.lanes.iter().all(|lane| lane.id != id);
        if first {
            self.plan.lanes.push(LanePlan {
                id: id.to_owned(),
                title: title.to_owned(),
                goal: Vec::new(),
                tasks: Vec::new(),
                place: self.plan.source.place(line),
            });
        }
        first
    }

    fn lane(&self) -> Option<String> {
        self.headings.last().and_then(|open| open.lane.clone())
    }

    fn paragraph(&mut self, position: Sourcepos) {
        let line = position.end.line;
        let text = self.lines.get(line).trim();
        self.label = text.ends_with(':').then(|| Label { text: text.to_owned(), line });
    }

    /// The meaning of the list or table that comes next, and the label that gives it.
    fn setting(&self) -> (Option<Context>, String, usize) {
        let above = self.headings.last().and_then(|open| open.context);
        match &self.label {
            None => (above.map(unlabelled), String::new(), 0),
            Some(label) => {
                let context = match above {
                    Some(Context::Register) => Some(context::of_register_label(&label.text)),
                    Some(Context::Authority) => above,
                    // A label that names no list of boxes leaves the checklist above it.
                    Some(Context::Checklist) => context::of_label(&label.text),
                    _ => context::of_label(&label.text).or(above),
                };
                (context, label.text.clone(), label.line)
            }
        }
    }

    fn list<'a>(&mut self, found: Found<'a, 's>) {
        for line in found.too_deep {
            self.error(line, PlanErrorKind::TooDeep { limit: DEPTH_LIMIT });
        }
        let mut items = found.items.as_slice();
        for (line, text) in found.labels {
            let above = items.partition_point(|item| item.line < line);
            let (before, after) = items.split_at(above);
            self.list_under_label(before);
            self.label = Some(Label { text: text.to_owned(), line });
            items = after;
        }
        self.list_under_label(items);
        for table in found.tables {
            self.table(table);
        }
    }

    fn list_under_label(&mut self, items: &[Item<'s>]) {
        if items.is_empty() {
            return;
        }
        let (context, label, label_line) = self.setting();
        let setting = Setting { context, label: &label, label_line, depth: 0 };
        self.record(items, setting);
        self.items(items, setting);
    }

    fn items(&mut self, items: &[Item<'s>], setting: Setting<'_>) {
        if setting.depth == 0 {
            self.list_as_a_whole(items, setting);
        }
        for item in items {
            match item.tick {
                Some(ticked) => self.a_box(item, ticked, setting),
                None => self.item(item, setting),
            }
        }
    }

    /// Lists that mean something only together.
    fn list_as_a_whole(&mut self, items: &[Item<'s>], setting: Setting<'_>) {
        if setting.context == Some(Context::RegisterOpen) {
            let heading = self.plan.registers.last().map(|register| register.place.line);
            self.listed_registers.extend(heading);
        }
        if setting.context == Some(Context::MinimumFields) {
            let (fields, _) = contracts::fields(items);
            let file = contracts::first_file(setting.label).map(|path| contracts::file_name(path).to_owned());
            let line =
                if setting.label_line == 0 { items.first().map_or(1, |item| item.line) } else { setting.label_line };
            let place = self.plan.source.place(line);
            self.contract().minimum_fields.push(MinimumFields { file, fields, place });
        }
    }

    /// The contract of the lane that is open, begun where there is none.
    fn contract(&mut self) -> &mut EvidenceContract {
        let lane = self.lane();
        let at = self.plan.contracts.iter().position(|contract| contract.lane == lane);
        let at = at.unwrap_or_else(|| {
            self.plan.contracts.push(EvidenceContract { lane, files: Vec::new(), minimum_fields: Vec::new() });
            self.plan.contracts.len() - 1
        });
        &mut self.plan.contracts[at]
    }

    fn item(&mut self, item: &Item<'s>, setting: Setting<'_>) {
        let top = setting.depth == 0;
        match setting.context {
            Some(Context::Definition) => self.definition(item),
            Some(Context::Claims) => self.claim(item),
            Some(Context::RegisterOpen | Context::RegisterResolved) if top => {
                return self.register_entry(item, setting);
            }
            Some(Context::Dod | Context::Checklist) if top => {
                self.error(item.line, PlanErrorKind::RequirementWithoutBox);
            }
            Some(Context::DodSummary) if top => self.summary_requirement(item),
            Some(Context::Goal) if top => self.goal(item),
            Some(Context::Tasks) => self.task(item, top),
            Some(Context::Laws) if top => self.law(item),
            Some(Context::Contract) => self.evidence_file(item),
            Some(Context::Predicates) if top => self.predicate(item),
            Some(Context::Authority) if top => self.authority_input(item, setting.label),
            _ => {}
        }
        self.execution_id(item, setting.label);
        self.below(item, setting);
    }

    /// The lists below an item: a meaning of their own where the item announces one.
    fn below(&mut self, item: &Item<'s>, setting: Setting<'_>) {
        if item.children.is_empty() {
            return;
        }
        let label = item.is_label().then_some(&*item.text);
        let own = label.and_then(context::of_item);
        let setting = Setting {
            context: own.or(setting.context),
            label: label.unwrap_or(setting.label),
            label_line: if label.is_some() { item.line } else { setting.label_line },
            depth: if own.is_some() { 0 } else { setting.depth + 1 },
        };
        self.items(&item.children, setting);
    }

    fn definition(&mut self, item: &Item<'s>) {
        let Some((code, meaning)) = codes::definition(&item.text) else {
            return;
        };
        self.read.codes.insert(item.line);
        if let Some(first) = self.plan.code(code) {
            let (code, first) = (code.to_owned(), first.place.line);
            return self.error(item.line, PlanErrorKind::DuplicateCode { code, first });
        }
        if meaning.is_empty() && item.children.is_empty() {
            let code = code.to_owned();
            return self.error(item.line, PlanErrorKind::CodeWithoutMeaning { code });
        }
        self.plan.codes.push(CodeDefinition {
            code: code.to_owned(),
            meaning: meaning.to_owned(),
            lane: marks::lane_of(code),
            origin: CodeOrigin::Taxonomy,
            place: self.plan.source.place(item.line),
        });
    }

    fn claim(&mut self, item: &Item<'s>) {
        let (codes, _) = codes::leading_codes(&item.text);
        if codes.is_empty() {
            return;
        }
        self.read.codes.insert(item.line);
        self.plan.claims.push(Claim {
            codes,
            text: item.text.clone().into_owned(),
            lane: self.lane(),
            place: self.plan.source.place(item.line),
        });
    }

    fn register_entry(&mut self, item: &Item<'s>, setting: Setting<'_>) {
        if registers::is_none(&item.text) && item.children.is_empty() {
            return;
        }
        let entry = registers::entry(item, &self.plan.source);
        self.read.codes.insert(item.line);
        if entry.codes.is_empty() {
            self.error(item.line, PlanErrorKind::EntryWithoutCode);
        }
        let listed_open = setting.context == Some(Context::RegisterOpen);
        let says_open = entry.status.eq_ignore_ascii_case("open");
        if (listed_open && entry.says_closed()) || (!listed_open && says_open) {
            self.doubt(
                item.line,
                format!("the entry says `{}` and stands in the other list; it counts as open", entry.status),
                "move the entry, or correct the word in brackets",
            );
        }
        if let Some(register) = self.plan.registers.last_mut() {
            let list = if listed_open || says_open { &mut register.open } else { &mut register.resolved };
            list.push(entry);
        }
    }

    fn summary_requirement(&mut self, item: &Item<'s>) {
        let mut text = item.text.clone().into_owned();
        for detail in item.details() {
            text.push(' ');
            text.push_str(&detail);
        }
        let requirement = SummaryRequirement { scope: self.lane(), text, place: self.plan.source.place(item.line) };
        self.plan.requirements_without_cases.push(requirement);
    }

    /// The lane that is open, to add to.
    fn open(&mut self) -> Option<&mut LanePlan> {
        let id = self.headings.last().and_then(|open| open.lane.as_deref())?;
        self.plan.lanes.iter_mut().find(|lane| lane.id == id)
    }

    fn goal(&mut self, item: &Item<'s>) {
        if let Some(lane) = self.open() {
            lane.goal.push(item.text.clone().into_owned());
        }
    }

    fn task(&mut self, item: &Item<'s>, top: bool) {
        let place = self.plan.source.place(item.line);
        if top && let Some(lane) = self.open() {
            lane.tasks.push(Task { text: item.text.clone().into_owned(), details: item.details(), place });
        }
        let lane = self.lane();
        if let Some(fields) = contracts::task_fields(item, lane.as_deref(), &self.plan.source) {
            self.plan.task_fields.push(fields);
        }
    }

    fn law(&mut self, item: &Item<'s>) {
        self.plan.laws.push(Law {
            lane: self.lane(),
            name: item.text.trim_end_matches(':').to_owned(),
            clauses: item.details(),
            place: self.plan.source.place(item.line),
        });
    }

    fn evidence_file(&mut self, item: &Item<'s>) {
        if let Some(file) = contracts::file(item, &self.plan.source) {
            self.contract().files.push(file);
        }
    }

    fn predicate(&mut self, item: &Item<'s>) {
        if let Some(name) = code_spans(&item.text).first() {
            let predicate =
                Predicate { lane: self.lane(), name: (*name).to_owned(), place: self.plan.source.place(item.line) };
            self.plan.predicates.push(predicate);
        }
    }

    fn authority_input(&mut self, item: &Item<'s>, label: &str) {
        let rank = authority::rank((!label.is_empty()).then_some(label));
        if let Some(input) = authority::input(item, rank, &self.plan.source) {
            self.plan.authority.push(input);
        }
    }

    fn execution_id(&mut self, item: &Item<'s>, label: &str) {
        if let Some(id) = authority::execution_id(&item.text) {
            let id = ExecutionId {
                lane: self.lane(),
                id: id.to_owned(),
                authoritative: authority::is_authoritative(label),
                place: self.plan.source.place(item.line),
            };
            self.plan.execution_ids.push(id);
        }
    }
}

/// Whether a list is meant as a part of the one before it: its bullets are indented by three, which
/// below `10.` is one too few for Markdown.
fn continues(before: Node<'_>, next: Node<'_>) -> bool {
    let (before, next) = (before.data(), next.data());
    let ordered = |value: &NodeValue| match value {
        NodeValue::List(list) => Some(list.list_type == ListType::Ordered),
        _ => None,
    };
    ordered(&before.value) == Some(true)
        && ordered(&next.value) == Some(false)
        && next.sourcepos.start.column > before.sourcepos.start.column
}

/// What a list directly below a heading means. A register's is read as open: fail closed.
fn unlabelled(context: Context) -> Context {
    match context {
        Context::Register => Context::RegisterOpen,
        other => other,
    }
}
