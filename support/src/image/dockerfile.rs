//! A Dockerfile as facts: what it takes from where, and which of its variables hold a secret.
//!
//! A value that is a secret is never part of a fact: it reads `[redacted]`.

mod facts;
mod here;
mod words;

pub use facts::{Flag, HereDocument, Mount, SecretLiteral, Source, Stage, Transfer, Variable, VariableKind, Verb, Why};

use std::path::Path;

use parse_dockerfile::{Flag as RawFlag, HereDoc, Instruction, Source as RawSource, UnescapedString};
use serde::{Deserialize, Serialize};

use crate::secrets::{self, Hit};
use words::{Assigned, Joined};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Why a Dockerfile gives no facts.
#[derive(Debug, thiserror::Error)]
pub enum DockerfileError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no text.
    #[error("{path}: not UTF-8; save the Dockerfile as UTF-8 text")]
    NotText {
        /// The file.
        path: String,
    },
    /// The text is no Dockerfile.
    #[error("{path}:{line}: {why}; correct the instruction")]
    Form {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// What a Dockerfile says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dockerfile {
    /// The file's path, as it was given.
    pub path: String,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// Each `ARG` and `ENV`, one for each name.
    pub variables: Vec<Variable>,
    /// Each `COPY` and `ADD`.
    pub transfers: Vec<Transfer>,
    /// Each `RUN --mount`: a bind reads the context without copying it.
    pub mounts: Vec<Mount>,
    /// Each here-document.
    pub here_documents: Vec<HereDocument>,
    /// The `ARG` and `ENV` that are secret literals, in order of line.
    pub secrets: Vec<SecretLiteral>,
    /// What the rule book finds in the whole text: labels, commands and here-documents too.
    pub hits: Vec<Hit>,
}

impl Dockerfile {
    /// Reads a file; see [`Dockerfile::parse`].
    ///
    /// # Errors
    /// [`DockerfileError`] names the file and the line.
    pub fn read(path: &Path) -> Result<Self, DockerfileError> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| DockerfileError::Read { path: shown.clone(), source })?;
        let text = String::from_utf8(bytes).map_err(|_| DockerfileError::NotText { path: shown.clone() })?;
        Self::parse(&shown, &text)
    }

    /// Reads a text; `path` is for messages.
    ///
    /// # Errors
    /// [`DockerfileError::Form`] names the line.
    pub fn parse(path: &str, text: &str) -> Result<Self, DockerfileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let form = |line: usize, why: String| DockerfileError::Form { path: path.to_owned(), line, why };
        let escape = here::escape(text);
        if let Some(at) = text.lines().position(|line| line.trim_end().ends_with(&format!("{escape}{escape}"))) {
            let why = format!("the line ends in `{escape}{escape}`: some engines continue it and some do not");
            return Err(form(at + 1, why));
        }
        let masked = here::mask(text, escape).map_err(|(line, why)| form(line, why))?;
        let parsed =
            parse_dockerfile::parse(&masked.text).map_err(|error| form(error.line().max(1), format!("{error:#}")))?;
        let mut reading = Reading {
            text,
            escape,
            facts: Self {
                path: path.to_owned(),
                stages: Vec::new(),
                variables: Vec::new(),
                transfers: Vec::new(),
                mounts: Vec::new(),
                here_documents: masked.documents,
                secrets: Vec::new(),
                hits: secrets::scan_bytes(text.as_bytes()),
            },
        };
        for instruction in &parsed.instructions {
            reading.instruction(instruction, false).map_err(|(line, why)| form(line, why))?;
        }
        reading.facts.here_documents.sort();
        Ok(reading.facts)
    }

    /// The `ARG` and `ENV` that are secret literals.
    #[must_use]
    pub fn secret_literals(&self) -> &[SecretLiteral] {
        &self.secrets
    }

    /// What is taken from elsewhere than from the context and the stages before: image and line, of `COPY --from` and `RUN --mount`.
    #[must_use]
    pub fn foreign(&self) -> Vec<(String, usize)> {
        let copied = self.transfers.iter().filter_map(|transfer| Some((transfer.from()?, transfer.line)));
        let mounted = self.mounts.iter().filter_map(|mount| Some((mount.from.as_deref()?, mount.line)));
        let is_a_stage = |from: &str, line: usize| {
            let begun: Vec<&Stage> = self.stages.iter().filter(|stage| stage.line < line).collect();
            let earlier = begun.split_last().map_or(&[][..], |(_, earlier)| earlier);
            let named = |stage: &&Stage| stage.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(from));
            earlier.iter().any(named) || from.parse::<usize>().is_ok_and(|number| number < earlier.len())
        };
        let all = copied.chain(mounted).filter(|(from, line)| !is_a_stage(from, *line));
        all.map(|(from, line)| (from.to_owned(), line)).collect()
    }

    /// The `COPY` and `ADD` that take the whole context: `COPY . .`, `ADD ./ /app`, `COPY * .`, `COPY src/.. .`.
    pub fn whole_context(&self) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter().filter(|transfer| transfer.whole_context())
    }
}

/// A line and what is wrong there.
type Wrong = (usize, String);

struct Reading<'t> {
    text: &'t str,
    escape: char,
    facts: Dockerfile,
}

impl Reading<'_> {
    fn instruction(&mut self, instruction: &Instruction<'_>, on_build: bool) -> Result<(), Wrong> {
        match instruction {
            Instruction::From(from) => {
                let platform = from.options.iter().find(|flag| flag.name.value == "platform");
                self.facts.stages.push(Stage {
                    image: self.plain(&from.image.value),
                    platform: platform.and_then(|flag| flag.value.as_ref()).map(|value| self.plain(&value.value)),
                    name: from.as_.as_ref().map(|(_, name)| name.value.clone().into_owned()),
                    line: self.line(from.from.span.start),
                });
            }
            Instruction::Arg(arg) => self.variables(VariableKind::Arg, &arg.arguments, on_build)?,
            Instruction::Env(env) => self.variables(VariableKind::Env, &env.arguments, on_build)?,
            Instruction::Copy(copy) => {
                let line = self.line(copy.copy.span.start);
                self.transfer(Verb::Copy, line, &copy.options, &copy.src, &copy.dest, on_build);
            }
            Instruction::Add(add) => {
                let line = self.line(add.add.span.start);
                self.transfer(Verb::Add, line, &add.options, &add.src, &add.dest, on_build);
            }
            Instruction::Run(run) => {
                let line = self.line(run.run.span.start);
                let mounts = run.options.iter().filter(|flag| flag.name.value == "mount");
                for value in mounts.filter_map(|flag| flag.value.as_ref()) {
                    let text = self.plain(&value.value);
                    self.facts.mounts.push(Mount::read(&text, line));
                }
            }
            Instruction::Onbuild(later) => self.instruction(&later.instruction, true)?,
            _ => {}
        }
        Ok(())
    }

    fn variables(&mut self, kind: VariableKind, raw: &UnescapedString<'_>, on_build: bool) -> Result<(), Wrong> {
        let joined = Joined::new(self.text, raw.span.clone(), self.escape);
        let assigned = match kind {
            VariableKind::Arg => joined.arguments(),
            VariableKind::Env => joined.environment().map_err(|(at, why)| (self.line(at), why))?,
        };
        for Assigned { name, raw, at } in assigned {
            let line = self.line(at);
            let value = raw.map(|raw| words::Value::read(&raw, self.escape));
            let why = facts::secret(kind, &name, value.as_ref());
            if let Some((rule, why)) = &why {
                self.facts.secrets.push(SecretLiteral {
                    kind,
                    name: name.clone(),
                    line,
                    rule: rule.clone(),
                    why: *why,
                });
            }
            let shown = value.map(|value| if why.is_some() { REDACTED.to_owned() } else { safe(value.text) });
            // Arguments before the first stage belong to none.
            let stage = self.facts.stages.len().checked_sub(1);
            self.facts.variables.push(Variable { kind, name, value: shown, line, stage, on_build });
        }
        Ok(())
    }

    fn transfer(
        &mut self,
        verb: Verb,
        line: usize,
        options: &[RawFlag<'_>],
        sources: &[RawSource<'_>],
        destination: &UnescapedString<'_>,
        on_build: bool,
    ) {
        let flags: Vec<Flag> = options
            .iter()
            .map(|flag| Flag {
                name: flag.name.value.clone().into_owned(),
                value: flag.value.as_ref().map(|value| self.plain(&value.value)),
            })
            .collect();
        let destination = self.plain(&destination.value);
        let sources = sources
            .iter()
            .map(|source| match source {
                RawSource::Path(path) => {
                    let value = words::Value::read(&path.value, self.escape);
                    Source::path(verb, value)
                }
                RawSource::HereDoc(document) => {
                    self.here_document(document, &destination);
                    Source::HereDocument
                }
                // The parser may learn of more kinds: unknown is not harmless.
                _ => Source::unknown(),
            })
            .collect();
        self.facts.transfers.push(Transfer { verb, sources, destination, flags, line, on_build });
    }

    fn here_document(&mut self, document: &HereDoc<'_>, destination: &str) {
        let line = self.line(document.span.start);
        self.facts.here_documents.push(HereDocument {
            line,
            bytes: document.value.len(),
            expand: document.expand,
            destination: Some(destination.to_owned()),
        });
    }

    /// A word without its quotation marks, or what stands for it where it is a secret.
    fn plain(&self, raw: &str) -> String {
        safe(words::Value::read(raw, self.escape).text)
    }

    fn line(&self, at: usize) -> usize {
        here::line(self.text, at)
    }
}

fn safe(text: String) -> String {
    let hits = secrets::scan_json(&serde_json::Value::from(text.as_str()));
    if hits.is_empty() { text } else { REDACTED.to_owned() }
}
