//! Typed commands: what an executor can carry out, and nothing else.

use regex_syntax::ast;
use serde::{Deserialize, Serialize};

use super::aws::aws;
use super::documents::{get_content, rip_grep, terraform, test_path};
use super::template::TemplateError;
use super::words::{Token, Word};

/// The programs that a command may begin with.
pub(super) const PROGRAMS: [&str; 5] = ["rg", "Test-Path", "Get-Content", "aws", "terraform"];

/// Every command that has an executor.
pub(super) const OPERATIONS: [&str; 14] = [
    "rg",
    "Test-Path",
    "Get-Content",
    "terraform output",
    "aws s3 ls",
    "aws s3 cp",
    "aws s3api head-bucket",
    "aws s3api head-object",
    "aws s3api list-objects-v2",
    "aws ecr describe-repositories",
    "aws stepfunctions list-state-machines",
    "aws stepfunctions describe-state-machine",
    "aws stepfunctions list-executions",
    "aws ce get-cost-and-usage",
];

/// A documented command. In a template its texts still hold placeholders as `<name>`; in a call they do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `rg`: search documents for a pattern.
    RipGrep(RipGrep),
    /// `Test-Path`, joined by `&&`: all these paths exist.
    TestPath {
        /// Paths in the plan repository.
        paths: Vec<String>,
    },
    /// `aws s3api head-bucket`.
    HeadBucket {
        /// The bucket.
        bucket: String,
    },
    /// `aws s3api list-objects-v2`.
    ListObjectsV2 {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
        /// The page size.
        max_keys: Option<u32>,
    },
    /// `aws s3api head-object`.
    HeadObject {
        /// The bucket.
        bucket: String,
        /// The key, or all keys that a `{a|b}` in it stands for.
        keys: Vec<String>,
    },
    /// `aws s3 ls`.
    S3List {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
    },
    /// `aws s3 cp` of a local file to S3.
    S3Upload {
        /// The local file.
        local: String,
        /// The bucket.
        bucket: String,
        /// The key. In a template it may end with `/`; in a call the file's name is then appended.
        key: String,
    },
    /// `aws s3 cp` of an object to standard output.
    S3Read {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// `aws ecr describe-repositories`.
    DescribeRepositories {
        /// The repositories' names.
        names: Vec<String>,
        /// The region.
        region: Option<String>,
    },
    /// `aws stepfunctions list-state-machines`.
    ListStateMachines {
        /// The region.
        region: Option<String>,
    },
    /// `aws stepfunctions describe-state-machine`.
    DescribeStateMachine {
        /// The state machine's ARN.
        arn: String,
        /// The region.
        region: Option<String>,
    },
    /// `aws stepfunctions list-executions`.
    ListExecutions {
        /// The state machine's ARN.
        arn: String,
        /// Only executions in this state.
        status_filter: Option<String>,
        /// The page size.
        max_results: Option<u32>,
        /// The region.
        region: Option<String>,
    },
    /// `terraform -chdir=… output -json`.
    TerraformOutput {
        /// The stack's folder.
        chdir: String,
    },
    /// `aws ce get-cost-and-usage`.
    GetCostAndUsage {
        /// From when to when.
        window: CostWindow,
        /// `DAILY`, `MONTHLY`, `HOURLY`.
        granularity: String,
        /// The metrics' names.
        metrics: Vec<String>,
        /// The region.
        region: Option<String>,
    },
    /// `Get-Content … | ConvertFrom-Json`: read a JSON document.
    GetContent {
        /// The document's path in the plan repository.
        path: String,
    },
}

/// `rg` over documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RipGrep {
    /// The whole pattern.
    pub pattern: String,
    /// The pattern's alternatives, where it is `A|B|C` at its top; else the pattern alone.
    pub alternatives: Vec<String>,
    /// `-i`
    pub case_insensitive: bool,
    /// `-n`
    pub line_numbers: bool,
    /// The documents' paths in the plan repository. The last segment of a path may hold `*` and `?`.
    pub paths: Vec<String>,
}

/// The days that costs are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostWindow {
    /// The first day, `YYYY-MM-DD`.
    pub start: String,
    /// The day after the last, `YYYY-MM-DD`.
    pub end: String,
}

impl RipGrep {
    /// The same search with another pattern.
    ///
    /// # Errors
    /// [`TemplateError::BadValue`] when the pattern is no regular expression.
    pub(super) fn with_pattern(mut self, pattern: String) -> Result<Self, TemplateError> {
        self.alternatives = alternatives(&pattern)?;
        self.pattern = pattern;
        Ok(self)
    }
}

/// The alternatives at the top of a pattern. Flags set inside the pattern would not reach alternatives that are searched for
/// one by one; such a pattern is kept whole.
fn alternatives(pattern: &str) -> Result<Vec<String>, TemplateError> {
    let bad = |reason: String| bad_value("rg", "the pattern", &reason);
    if pattern.is_empty() {
        return Err(bad("it is empty and would match every line".to_owned()));
    }
    regex::Regex::new(pattern).map_err(|error| bad(error.to_string()))?;
    let tree = ast::parse::Parser::new().parse(pattern).map_err(|error| bad(error.to_string()))?;
    let ast::Ast::Alternation(alternation) = &tree else {
        return Ok(vec![pattern.to_owned()]);
    };
    if alternation.asts.iter().any(sets_flags) {
        return Ok(vec![pattern.to_owned()]);
    }
    alternation
        .asts
        .iter()
        .map(|part| {
            let span = part.span();
            match pattern.get(span.start.offset..span.end.offset) {
                Some(text) if !text.is_empty() => Ok(text.to_owned()),
                _ => Err(bad("one of its alternatives is empty and would match every line".to_owned())),
            }
        })
        .collect()
}

fn sets_flags(part: &ast::Ast) -> bool {
    match part {
        ast::Ast::Flags(_) => true,
        ast::Ast::Concat(concat) => concat.asts.iter().any(sets_flags),
        _ => false,
    }
}

/// The typed command of `tokens`.
pub(super) fn command(tokens: &[Token]) -> Result<Command, TemplateError> {
    let Some(Token::Word(program)) = tokens.first() else {
        return Err(TemplateError::Empty);
    };
    match program.text.as_str() {
        "Test-Path" => test_path(tokens),
        "Get-Content" => get_content(tokens),
        "rg" => rip_grep(&only_words("rg", tokens)?),
        "terraform" => terraform(&only_words("terraform", tokens)?),
        "aws" => aws(&only_words("aws", tokens)?),
        other => Err(TemplateError::UnknownProgram { program: other.to_owned() }),
    }
}

pub(super) fn only_words<'tokens>(
    program: &str,
    tokens: &'tokens [Token],
) -> Result<Vec<&'tokens Word>, TemplateError> {
    tokens
        .iter()
        .skip(1)
        .map(|token| match token {
            Token::Word(word) => Ok(word),
            Token::And => Err(TemplateError::Superfluous { command: program.to_owned(), found: "&&".to_owned() }),
            Token::Pipe => Err(TemplateError::Superfluous { command: program.to_owned(), found: "|".to_owned() }),
        })
        .collect()
}

/// The text of a word in which neither wildcards nor braces have a meaning.
pub(super) fn plain(command: &str, word: &Word) -> Result<String, TemplateError> {
    if word.glob || word.braces || !word.quoted && word.text.contains(['{', '}']) {
        return Err(bad_value(command, &word.text, "wildcards and braces have no meaning here"));
    }
    if word.text.is_empty() {
        return Err(missing(command, "a text between the quotes"));
    }
    Ok(word.text.clone())
}

/// A path of a document in the plan repository.
pub(super) fn document(command: &str, path: String) -> Result<String, TemplateError> {
    match outside_repository(&path) {
        Some(reason) => Err(bad_value(command, &path, reason)),
        None => Ok(path),
    }
}

/// Why `path` may not be read as a document of the plan repository.
pub(super) fn outside_repository(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.starts_with(['/', '\\', '-', '~']) || path.contains([':', '\\']) {
        return Some("it must be a path in the plan repository, with forward slashes");
    }
    path.split('/').any(|step| step == "..").then_some("it leads out of the plan repository")
}

pub(super) fn missing(command: &str, what: &str) -> TemplateError {
    TemplateError::Missing { command: command.to_owned(), what: what.to_owned() }
}

pub(super) fn unexpected(command: &str, found: &str) -> TemplateError {
    if found.starts_with('-') && found != "-" {
        return unknown_flag(command, found);
    }
    TemplateError::Superfluous { command: command.to_owned(), found: found.to_owned() }
}

pub(super) fn unknown_flag(command: &str, flag: &str) -> TemplateError {
    TemplateError::UnknownFlag { command: command.to_owned(), flag: flag.to_owned() }
}

pub(super) fn bad_value(command: &str, what: &str, reason: &str) -> TemplateError {
    TemplateError::BadValue { command: command.to_owned(), what: what.to_owned(), reason: reason.to_owned() }
}
