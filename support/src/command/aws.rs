//! Commands of the AWS CLI.

use super::flags::Flags;
use super::template::TemplateError;
use super::typed::{Command, CostWindow, bad_value, missing, plain, unknown_flag};
use super::words::Word;

pub(super) fn aws(words: &[&Word]) -> Result<Command, TemplateError> {
    let names: Vec<&str> = words.iter().take(2).map(|word| word.text.as_str()).collect();
    let name = format!("aws {}", names.join(" "));
    let rest = words.get(2..).unwrap_or(&[]);
    match name.as_str() {
        "aws s3 ls" => s3_list(rest),
        "aws s3 cp" => s3_copy(rest),
        "aws s3api head-bucket" => {
            let mut flags = Flags::read("aws s3api head-bucket", rest, &["--bucket"], &[])?;
            Ok(Command::HeadBucket { bucket: flags.needed("--bucket")? })
        }
        "aws s3api head-object" => {
            let mut flags = Flags::read("aws s3api head-object", rest, &["--bucket", "--key"], &[])?;
            Ok(Command::HeadObject { bucket: flags.needed("--bucket")?, keys: flags.needed_keys()? })
        }
        "aws s3api list-objects-v2" => {
            let known = ["--bucket", "--prefix", "--max-keys"];
            let mut flags = Flags::read("aws s3api list-objects-v2", rest, &known, &[])?;
            Ok(Command::ListObjectsV2 {
                bucket: flags.needed("--bucket")?,
                prefix: flags.needed("--prefix")?,
                max_keys: flags.number("--max-keys")?,
            })
        }
        "aws ecr describe-repositories" => {
            let mut flags = Flags::read("aws ecr describe-repositories", rest, &["--region"], &["--repository-names"])?;
            Ok(Command::DescribeRepositories {
                names: flags.list("--repository-names")?,
                region: flags.optional("--region")?,
            })
        }
        "aws stepfunctions list-state-machines" => {
            let mut flags = Flags::read("aws stepfunctions list-state-machines", rest, &["--region"], &[])?;
            Ok(Command::ListStateMachines { region: flags.optional("--region")? })
        }
        "aws stepfunctions describe-state-machine" => {
            let known = ["--state-machine-arn", "--region"];
            let mut flags = Flags::read("aws stepfunctions describe-state-machine", rest, &known, &[])?;
            Ok(Command::DescribeStateMachine {
                arn: flags.needed("--state-machine-arn")?,
                region: flags.optional("--region")?,
            })
        }
        "aws stepfunctions list-executions" => {
            let known = ["--state-machine-arn", "--status-filter", "--max-results", "--region"];
            let mut flags = Flags::read("aws stepfunctions list-executions", rest, &known, &[])?;
            Ok(Command::ListExecutions {
                arn: flags.needed("--state-machine-arn")?,
                status_filter: flags.optional("--status-filter")?,
                max_results: flags.number("--max-results")?,
                region: flags.optional("--region")?,
            })
        }
        "aws ce get-cost-and-usage" => cost_and_usage(rest),
        _ => Err(TemplateError::UnknownOperation { found: name }),
    }
}

fn cost_and_usage(words: &[&Word]) -> Result<Command, TemplateError> {
    const NAME: &str = "aws ce get-cost-and-usage";
    let mut flags = Flags::read(NAME, words, &["--time-period", "--granularity", "--region"], &["--metrics"])?;
    let period = flags.needed("--time-period")?;
    let (start, end) = period
        .strip_prefix("Start=")
        .and_then(|rest| rest.split_once(",End="))
        .filter(|(start, end)| !start.is_empty() && !end.is_empty() && !end.contains(','))
        .ok_or_else(|| bad_value(NAME, "--time-period", "it must be Start=<day>,End=<day>"))?;
    Ok(Command::GetCostAndUsage {
        window: CostWindow { start: start.to_owned(), end: end.to_owned() },
        granularity: flags.needed("--granularity")?,
        metrics: flags.list("--metrics")?,
        region: flags.optional("--region")?,
    })
}

fn s3_list(words: &[&Word]) -> Result<Command, TemplateError> {
    const NAME: &str = "aws s3 ls";
    let [uri] = operands::<1>(NAME, words, "one s3:// address")?;
    let (bucket, prefix) = s3_address(NAME, &uri)?.ok_or_else(|| missing(NAME, "an s3:// address"))?;
    Ok(Command::S3List { bucket, prefix })
}

fn s3_copy(words: &[&Word]) -> Result<Command, TemplateError> {
    const NAME: &str = "aws s3 cp";
    let [from, to] = operands::<2>(NAME, words, "a source and a target")?;
    match (s3_address(NAME, &from)?, s3_address(NAME, &to)?) {
        (Some((_, key)), _) | (_, Some((_, key))) if key.is_empty() => Err(missing(NAME, "an object's key")),
        (None, Some((bucket, key))) if from != "-" => Ok(Command::S3Upload { local: from, bucket, key }),
        (Some((bucket, key)), None) if to == "-" => Ok(Command::S3Read { bucket, key }),
        _ => Err(bad_value(NAME, "the pair of source and target", "only a file to S3, and S3 to `-`, have executors")),
    }
}

fn operands<const COUNT: usize>(
    command: &'static str,
    words: &[&Word],
    what: &'static str,
) -> Result<[String; COUNT], TemplateError> {
    let texts: Vec<String> = words
        .iter()
        .map(|word| match word.text.as_str() {
            flag if flag.starts_with('-') && flag != "-" => Err(unknown_flag(command, flag)),
            _ => plain(command, word),
        })
        .collect::<Result<_, _>>()?;
    texts.try_into().map_err(|_| missing(command, what))
}

fn s3_address(command: &str, operand: &str) -> Result<Option<(String, String)>, TemplateError> {
    let Some(address) = operand.strip_prefix("s3://") else {
        return Ok(None);
    };
    let (bucket, key) = address.split_once('/').unwrap_or((address, ""));
    if bucket.is_empty() {
        return Err(missing(command, "a bucket"));
    }
    Ok(Some((bucket.to_owned(), key.to_owned())))
}
