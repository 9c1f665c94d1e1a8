//! A call as a command line that is safe to paste into a POSIX shell.

use std::borrow::Cow;

use super::bind::Call;
use super::typed::{Command, RipGrep};

impl Call {
    /// The call as a command line that is safe to paste into a POSIX shell: every word is quoted, an upload refuses to
    /// overwrite, and a PowerShell command is given by its POSIX counterpart.
    #[must_use]
    pub fn paste_form(&self) -> String {
        match &self.command {
            Command::RipGrep(search) => search_line(search),
            Command::TestPath { paths } => each(paths, |path| format!("test -e {}", word(path))),
            Command::GetContent { path } => line(&["jq", ".", path]),
            Command::TerraformOutput { chdir } => line(&["terraform", &format!("-chdir={chdir}"), "output", "-json"]),
            Command::HeadBucket { bucket } => line(&["aws", "s3api", "head-bucket", "--bucket", bucket]),
            Command::ListObjectsV2 { bucket, prefix, max_keys } => {
                let mut words = vec!["aws", "s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix];
                let number = max_keys.map(|number| number.to_string());
                push_flag(&mut words, "--max-keys", number.as_deref());
                line(&words)
            }
            Command::HeadObject { bucket, keys } => {
                each(keys, |key| line(&["aws", "s3api", "head-object", "--bucket", bucket, "--key", key]))
            }
            Command::S3List { bucket, prefix } => line(&["aws", "s3", "ls", &format!("s3://{bucket}/{prefix}")]),
            Command::S3Read { bucket, key } => line(&["aws", "s3", "cp", &format!("s3://{bucket}/{key}"), "-"]),
            Command::S3Upload { local, bucket, key } => line(&[
                "aws",
                "s3api",
                "put-object",
                "--if-none-match",
                "*",
                "--checksum-algorithm",
                "SHA256",
                "--bucket",
                bucket,
                "--key",
                key,
                "--body",
                local,
            ]),
            Command::DescribeRepositories { .. }
            | Command::ListStateMachines { .. }
            | Command::DescribeStateMachine { .. }
            | Command::ListExecutions { .. }
            | Command::GetCostAndUsage { .. } => control_plane(&self.command),
        }
    }
}

fn control_plane(command: &Command) -> String {
    let mut words = vec!["aws"];
    let (number, period);
    let region = match command {
        Command::DescribeRepositories { names, region } => {
            words.extend(["ecr", "describe-repositories", "--repository-names"]);
            words.extend(names.iter().map(String::as_str));
            region
        }
        Command::ListStateMachines { region } => {
            words.extend(["stepfunctions", "list-state-machines"]);
            region
        }
        Command::DescribeStateMachine { arn, region } => {
            words.extend(["stepfunctions", "describe-state-machine", "--state-machine-arn", arn]);
            region
        }
        Command::ListExecutions { arn, status_filter, max_results, region } => {
            words.extend(["stepfunctions", "list-executions", "--state-machine-arn", arn]);
            push_flag(&mut words, "--status-filter", status_filter.as_deref());
            number = max_results.map(|number| number.to_string());
            push_flag(&mut words, "--max-results", number.as_deref());
            region
        }
        Command::GetCostAndUsage { window, granularity, metrics, region } => {
            period = format!("Start={},End={}", window.start, window.end);
            words.extend(["ce", "get-cost-and-usage", "--time-period", &period]);
            words.extend(["--granularity", granularity, "--metrics"]);
            words.extend(metrics.iter().map(String::as_str));
            region
        }
        _ => return String::new(),
    };
    push_flag(&mut words, "--region", region.as_deref());
    line(&words)
}

fn push_flag<'words>(words: &mut Vec<&'words str>, flag: &'words str, value: Option<&'words str>) {
    if let Some(value) = value {
        words.extend([flag, value]);
    }
}

fn search_line(search: &RipGrep) -> String {
    let mut words = vec!["rg".to_owned()];
    if search.line_numbers {
        words.push("-n".to_owned());
    }
    if search.case_insensitive {
        words.push("-i".to_owned());
    }
    // A pattern or path that begins with a dash must not be read as a flag.
    words.extend(["-e".to_owned(), word(&search.pattern).into_owned(), "--".to_owned()]);
    words.extend(search.paths.iter().map(|path| with_wildcards(path)));
    words.join(" ")
}

/// A path quoted all but its wildcards, which the shell must still see.
fn with_wildcards(path: &str) -> String {
    path.split_inclusive(['*', '?'])
        .map(|part| match part.strip_suffix(['*', '?']) {
            Some("") => part.to_owned(),
            Some(text) => format!("{}{}", word(text), part.get(text.len()..).unwrap_or("")),
            None => word(part).into_owned(),
        })
        .collect()
}

fn each(texts: &[String], form: impl Fn(&str) -> String) -> String {
    let lines: Vec<String> = texts.iter().map(|text| form(text)).collect();
    lines.join(" && ")
}

fn line(words: &[&str]) -> String {
    let quoted: Vec<Cow<'_, str>> = words.iter().map(|text| word(text)).collect();
    quoted.join(" ")
}

fn word(text: &str) -> Cow<'_, str> {
    // Only a NUL cannot be quoted; cells and values with control characters were refused before.
    shlex::try_quote(text).unwrap_or(Cow::Borrowed("''"))
}
