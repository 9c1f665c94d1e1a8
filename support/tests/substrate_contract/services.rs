//! What a gate relies on in the services other than S3.

use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability};
use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_ssm::types::ParameterType;
use phasegate_support::substrate::reply::{CallError, CallErrorKind, Reply};
use phasegate_support::substrate::{CostPeriod, CostQuery, Granularity, Listing, TagMutability};
use sha2::{Digest as _, Sha256};

use super::Assertion;
use super::ground::{ACCOUNT, Ground, REGION, unless};

pub const LIST: &[Assertion] = &[
    ("sts.identity_is_the_world's_account", identity),
    ("ecr.repository_is_described", repository),
    ("ecr.missing_repository_is_an_error", missing_repository),
    ("ecr.digest_is_the_manifest's_sha256", image_digest),
    ("ecr.missing_tag_is_an_error", missing_tag),
    ("ecr.missing_tag_is_not_found_by_the_reader", missing_tag_read),
    ("ecr.immutable_tag_cannot_be_moved", immutable_tag),
    ("ssm.parameter_comes_back", parameter),
    ("ssm.missing_parameter_is_an_error", missing_parameter),
    ("ssm.secure_string_is_not_in_clear", secure_string),
    ("iam.role_is_described", role),
    ("iam.missing_role_is_an_error", missing_role),
    ("sfn.state_machine_is_described", state_machine),
    ("sfn.missing_state_machine_is_an_error", missing_state_machine),
    ("sfn.list_pages", sfn_pages),
    ("sfn.status_filter", sfn_filter),
    ("sfn.executions_page", execution_pages),
    ("sfn.same_start_is_the_same_execution", same_start),
    ("sfn.other_input_under_a_name_is_refused", other_input),
    ("sfn.stopped_execution_is_aborted", stopped),
    ("sfn.execution_has_its_input", execution_input),
    ("sfn.reader_filters_and_pages", executions_reader),
    ("ce.window_without_data_is_answered", cost_answer),
    ("ce.periods_are_the_window's", cost_periods),
    ("ce.empty_window_is_refused", cost_window),
    ("ce.window_in_the_future_is_refused", cost_future),
    ("ce.no_day_is_refused", cost_day),
    ("ce.unknown_metric_is_refused", cost_metric),
    ("ssm.reader_finds_and_misses", ssm_reader),
    ("ssm.readable_tells_what_the_value_is_like", ssm_readable),
    ("iam.reader_finds_and_misses", iam_reader),
    ("sfn.reader_finds_and_misses", sfn_reader),
];

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
const MACHINE: &str = r#"{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":600,"End":true}}}"#;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl Ground {
    fn repository(&self, mutability: ImageTagMutability) -> String {
        let name = self.name("contract/platform");
        self.runtime
            .block_on(self.ecr.create_repository().repository_name(&name).image_tag_mutability(mutability).send())
            .unwrap();
        name
    }

    fn put_image(&self, repository: &str, tag: &str, manifest: &str) -> Result<(), String> {
        self.runtime
            .block_on(self.ecr.put_image().repository_name(repository).image_tag(tag).image_manifest(manifest).send())
            .map(|_| ())
            .map_err(|e| e.into_service_error().to_string())
    }

    fn machine(&self) -> Result<String, String> {
        let made = self.runtime.block_on(
            self.sfn
                .create_state_machine()
                .name(self.name("machine"))
                .definition(MACHINE)
                .role_arn(format!("arn:aws:iam::{ACCOUNT}:role/states"))
                .send(),
        );
        Ok(made.map_err(text)?.state_machine_arn)
    }
}

fn identity(ground: &Ground) -> Result<(), String> {
    let identity = ground.substrate.identity().map_err(|e| e.to_string())?.value;
    unless(identity.account == ACCOUNT && identity.arn.contains(ACCOUNT), || text(&identity))
}

fn repository(ground: &Ground) -> Result<(), String> {
    let name = ground.repository(ImageTagMutability::Immutable);
    let came = ground.substrate.ecr().describe_repositories(&[&name]).map_err(|e| e.to_string())?;
    let came = &came.value[0];
    unless(
        came.name == name
            && came.registry_id == ACCOUNT
            && came.arn == format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}")
            && came.tag_mutability == TagMutability::Immutable
            && came.uri.ends_with(&format!("/{name}")),
        || text(came),
    )
}

fn missing_repository(ground: &Ground) -> Result<(), String> {
    let name = ground.name("nowhere");
    let came = ground.substrate.ecr().describe_repositories(&[&name]);
    unless(came.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound && e.status == Some(400)), || text(&came))
}

fn image_digest(ground: &Ground) -> Result<(), String> {
    let name = ground.repository(ImageTagMutability::Immutable);
    ground.put_image(&name, "git-1", MANIFEST)?;
    let came = ground.substrate.ecr().describe_image(&name, "git-1").map_err(|e| e.to_string())?.value;
    let right = format!("sha256:{}", hex::encode(Sha256::digest(MANIFEST)));
    unless(came.digest == right, || text(&came))
}

fn missing_tag(ground: &Ground) -> Result<(), String> {
    let name = ground.repository(ImageTagMutability::Mutable);
    let came = ground.runtime.block_on(
        ground
            .ecr
            .describe_images()
            .repository_name(&name)
            .image_ids(ImageIdentifier::builder().image_tag("none").build())
            .send(),
    );
    let right = came.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_image_not_found_exception()));
    unless(right, || text(&came))
}

fn missing_tag_read(ground: &Ground) -> Result<(), String> {
    let name = ground.repository(ImageTagMutability::Mutable);
    ground.put_image(&name, "git-1", MANIFEST)?;
    let came = ground.substrate.ecr().describe_image(&name, "git-2");
    unless(came.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&came))
}

fn immutable_tag(ground: &Ground) -> Result<(), String> {
    let name = ground.repository(ImageTagMutability::Immutable);
    ground.put_image(&name, "git-1", MANIFEST)?;
    let other = MANIFEST.replace("\"size\":2", "\"size\":3");
    let moved = ground.put_image(&name, "git-1", &other);
    unless(moved.as_ref().is_err_and(|e| e.contains("ImageTagAlreadyExists")), || text(&moved))
}

fn put_parameter(ground: &Ground, kind: ParameterType) -> Result<String, String> {
    let name = format!("/{}", ground.name("contract"));
    ground
        .runtime
        .block_on(ground.ssm.put_parameter().name(&name).r#type(kind).value("open-sesame").send())
        .map_err(text)?;
    Ok(name)
}

fn get_parameter(ground: &Ground, name: &str, decrypt: bool) -> Result<String, String> {
    let came =
        ground.runtime.block_on(ground.ssm.get_parameter().name(name).with_decryption(decrypt).send()).map_err(text)?;
    came.parameter.and_then(|parameter| parameter.value).ok_or_else(|| "no value".to_owned())
}

fn parameter(ground: &Ground) -> Result<(), String> {
    for kind in [ParameterType::String, ParameterType::SecureString] {
        let name = put_parameter(ground, kind)?;
        let came = get_parameter(ground, &name, true)?;
        unless(came == "open-sesame", || came)?;
    }
    Ok(())
}

fn missing_parameter(ground: &Ground) -> Result<(), String> {
    let name = format!("/{}", ground.name("nowhere"));
    let came = get_parameter(ground, &name, false);
    unless(came.as_ref().is_err_and(|e| e.contains("ParameterNotFound")), || text(&came))
}

fn secure_string(ground: &Ground) -> Result<(), String> {
    let name = put_parameter(ground, ParameterType::SecureString)?;
    let came = get_parameter(ground, &name, false)?;
    unless(!came.contains("open-sesame"), || "it came in clear".to_owned())
}

fn made_role(ground: &Ground) -> Result<String, String> {
    let name = ground.name("role");
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    ground
        .runtime
        .block_on(ground.iam.create_role().role_name(&name).assume_role_policy_document(trust).send())
        .map_err(text)?;
    Ok(name)
}

fn role(ground: &Ground) -> Result<(), String> {
    let name = made_role(ground)?;
    let came = ground.runtime.block_on(ground.iam.get_role().role_name(&name).send()).map_err(text)?;
    let arn = came.role.map(|role| role.arn);
    unless(arn == Some(format!("arn:aws:iam::{ACCOUNT}:role/{name}")), || text(&arn))
}

fn missing_role(ground: &Ground) -> Result<(), String> {
    let came = ground.runtime.block_on(ground.iam.get_role().role_name(ground.name("nowhere")).send());
    let right = came.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()));
    unless(right, || text(&came))
}

fn state_machine(ground: &Ground) -> Result<(), String> {
    let arn = ground.machine()?;
    let came =
        ground.runtime.block_on(ground.sfn.describe_state_machine().state_machine_arn(&arn).send()).map_err(text)?;
    unless(
        came.state_machine_arn == arn
            && came.definition == MACHINE
            && arn.starts_with(&format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:")),
        || text(&came),
    )
}

fn missing_state_machine(ground: &Ground) -> Result<(), String> {
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{}", ground.name("none"));
    let came = ground.runtime.block_on(ground.sfn.describe_state_machine().state_machine_arn(arn).send());
    let right = came.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_state_machine_does_not_exist()));
    unless(right, || text(&came))
}

fn sfn_pages(ground: &Ground) -> Result<(), String> {
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(ground.machine()?);
    }
    let mut walked = Vec::new();
    let mut token = None;
    for _page in 0..200 {
        let page = ground
            .runtime
            .block_on(ground.sfn.list_state_machines().max_results(2).set_next_token(token).send())
            .map_err(text)?;
        let count = page.state_machines.len();
        unless(count <= 2, || format!("{count} on a page of 2"))?;
        walked.extend(page.state_machines.into_iter().map(|machine| machine.state_machine_arn));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    unless(made.iter().all(|arn| walked.contains(arn)), || text(&walked))
}

fn sfn_filter(ground: &Ground) -> Result<(), String> {
    let arn = ground.machine()?;
    ground.runtime.block_on(ground.sfn.start_execution().state_machine_arn(&arn).input("{}").send()).map_err(text)?;
    let count = |status: ExecutionStatus| {
        ground
            .runtime
            .block_on(ground.sfn.list_executions().state_machine_arn(&arn).status_filter(status).send())
            .map(|came| came.executions.len())
            .map_err(text)
    };
    let (running, failed) = (count(ExecutionStatus::Running)?, count(ExecutionStatus::Failed)?);
    unless(running == 1 && failed == 0, || format!("{running} running, {failed} failed"))
}

/// A reader finds what is there, and says `NotFound` of what is not.
fn finds_and_misses<T: std::fmt::Debug, M: std::fmt::Debug>(
    found: Result<T, CallError>,
    missed: Result<M, CallError>,
) -> Result<T, String> {
    unless(missed.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&missed))?;
    found.map_err(|e| e.to_string())
}

fn ssm_reader(ground: &Ground) -> Result<(), String> {
    let name = put_parameter(ground, ParameterType::SecureString)?;
    let ssm = ground.substrate.ssm();
    let found = finds_and_misses(ssm.describe(&name), ssm.describe(&format!("{name}-none")))?;
    unless(found.value.kind == "SecureString" && found.value.version == Some(1), || text(&found))
}

fn ssm_readable(ground: &Ground) -> Result<(), String> {
    let ssm = ground.substrate.ssm();
    let written = |kind: ParameterType, value: &str| {
        let name = format!("/{}", ground.name("contract"));
        let request = ground.ssm.put_parameter().name(&name).r#type(kind).value(value);
        ground.runtime.block_on(request.send()).map(|_| name).map_err(text)
    };
    let name = written(ParameterType::SecureString, "open-sesame")?;
    let found = finds_and_misses(ssm.readable(&name), ssm.readable(&format!("{name}-none")))?.value;
    unless(
        found.name == name
            && found.kind == "SecureString"
            && found.version == 1
            && !found.empty
            && !found.placeholder
            && !text(&found).contains("sesame"),
        || text(&found),
    )?;
    for (kind, value) in [(ParameterType::SecureString, "TO_PIN"), (ParameterType::String, "change-me")] {
        let found = ssm.readable(&written(kind, value)?).map_err(|e| e.to_string())?.value;
        unless(found.placeholder && !found.empty, || text(&found))?;
    }
    Ok(())
}

fn iam_reader(ground: &Ground) -> Result<(), String> {
    let name = made_role(ground)?;
    let iam = ground.substrate.iam();
    let found = finds_and_misses(iam.get_role(&name), iam.get_role(&format!("{name}-none")))?;
    let trust = found.value.trust_policy.as_deref().unwrap_or_default();
    let trust = percent_encoding::percent_decode_str(trust).decode_utf8_lossy();
    unless(found.value.arn.ends_with(&format!("role/{name}")) && trust.contains("ecs-tasks.amazonaws.com"), || {
        text(&found)
    })
}

fn sfn_reader(ground: &Ground) -> Result<(), String> {
    let arn = ground.machine()?;
    ground.runtime.block_on(ground.sfn.start_execution().state_machine_arn(&arn).input("{}").send()).map_err(text)?;
    let sfn = ground.substrate.sfn();
    let none = format!("{arn}-none");
    let found = finds_and_misses(sfn.describe_state_machine(&arn), sfn.describe_state_machine(&none))?;
    unless(found.value.definition == MACHINE, || text(&found))?;
    let executions =
        finds_and_misses(sfn.list_executions(&arn, None, None), sfn.list_executions(&none, None, None))?.value;
    unless(executions.complete && executions.entries.len() == 1 && executions.entries[0].status == "RUNNING", || {
        text(&executions)
    })?;
    let machines = sfn.list_state_machines().map_err(|e| e.to_string())?.value;
    unless(machines.complete && machines.entries.iter().any(|machine| machine.arn == arn), || text(&machines))
}

fn started(ground: &Ground, machine: &str, name: &str, input: &str) -> Result<String, String> {
    ground
        .runtime
        .block_on(ground.sfn.start_execution().state_machine_arn(machine).name(name).input(input).send())
        .map(|came| came.execution_arn)
        .map_err(|error| error.into_service_error().to_string())
}

fn stop(ground: &Ground, execution: &str) -> Result<(), String> {
    let stopped = ground.runtime.block_on(ground.sfn.stop_execution().execution_arn(execution).send());
    stopped.map(drop).map_err(text)
}

fn execution_pages(ground: &Ground) -> Result<(), String> {
    let machine = ground.machine()?;
    for name in ["one", "two", "three"] {
        started(ground, &machine, name, "{}")?;
    }
    let page = |token: Option<String>| {
        let asked = ground.sfn.list_executions().state_machine_arn(&machine).max_results(2);
        ground.runtime.block_on(asked.set_next_token(token).send()).map_err(text)
    };
    let first = page(None)?;
    let second = page(Some(first.next_token.clone().ok_or_else(|| text(&first))?))?;
    let mut names: Vec<_> = first.executions.iter().chain(&second.executions).map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    unless(first.executions.len() == 2 && second.next_token.is_none() && names == ["one", "three", "two"], || {
        format!("{first:?} {second:?}")
    })
}

fn same_start(ground: &Ground) -> Result<(), String> {
    let machine = ground.machine()?;
    let first = started(ground, &machine, "one", r#"{"run":"1"}"#)?;
    let again = started(ground, &machine, "one", r#"{"run":"1"}"#);
    unless(again.as_ref() == Ok(&first), || text(&again))
}

fn other_input(ground: &Ground) -> Result<(), String> {
    let machine = ground.machine()?;
    started(ground, &machine, "one", r#"{"run":"1"}"#)?;
    let other = started(ground, &machine, "one", r#"{"run":"2"}"#);
    unless(other.as_ref().is_err_and(|error| error.contains("ExecutionAlreadyExists")), || text(&other))
}

fn stopped(ground: &Ground) -> Result<(), String> {
    let machine = ground.machine()?;
    let execution = started(ground, &machine, "one", "{}")?;
    // A stop that is sent twice is one.
    stop(ground, &execution)?;
    stop(ground, &execution)?;
    let came = ground.substrate.sfn().describe_execution(&execution).map_err(|e| e.to_string())?.value;
    unless(came.status == "ABORTED", || text(&came))
}

fn execution_input(ground: &Ground) -> Result<(), String> {
    let machine = ground.machine()?;
    let input = r#"{ "platform_run_id": "platform_1",  "n": 1.50 }"#;
    let execution = started(ground, &machine, "one", input)?;
    let sfn = ground.substrate.sfn();
    let found =
        finds_and_misses(sfn.describe_execution(&execution), sfn.describe_execution(&format!("{execution}-none")))?;
    let came = found.value;
    unless(
        came.name == "one"
            && came.machine_arn == machine
            && came.status == "RUNNING"
            && came.started.is_some()
            && came.input.as_deref() == Some(input)
            && came.input_included != Some(false),
        || text(&came),
    )
}

fn executions_reader(ground: &Ground) -> Result<(), String> {
    let machine = ground.machine()?;
    for name in ["one", "two", "three"] {
        started(ground, &machine, name, "{}")?;
    }
    let gone = started(ground, &machine, "gone", "{}")?;
    stop(ground, &gone)?;
    let names = |status: Option<&str>, page_size: Option<u16>| {
        let listed = ground.substrate.sfn().list_executions(&machine, status, page_size).map_err(|e| e.to_string())?;
        let mut names: Vec<String> = listed.value.entries.into_iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        Ok::<_, String>(names.join(" "))
    };
    let came = [
        names(Some("RUNNING"), Some(2))?,
        names(Some("RUNNING"), Some(100))?,
        names(Some("ABORTED"), None)?,
        names(Some("SUCCEEDED"), Some(1))?,
        names(None, Some(1))?,
    ];
    unless(came == ["one three two", "one three two", "gone", "", "gone one three two"], || text(&came))
}

fn costs(
    ground: &Ground,
    window: (&str, &str),
    granularity: Granularity,
    metric: &str,
) -> Result<Reply<Listing<CostPeriod>>, CallError> {
    let (start, end) = window;
    let query = CostQuery { region: "us-east-1", start, end, granularity, metrics: &[metric] };
    ground.substrate.cost().get_cost_and_usage(&query)
}

/// A month of which no server here has data.
const QUIET: (&str, &str) = ("2025-12-01", "2026-01-01");

fn cost_answer(ground: &Ground) -> Result<(), String> {
    let came = costs(ground, QUIET, Granularity::Monthly, "UnblendedCost").map_err(|e| e.to_string())?;
    unless(came.value.complete, || text(&came))
}

/// The reader refuses periods outside of the window; here they also are as long as was asked.
fn cost_periods(ground: &Ground) -> Result<(), String> {
    for (granularity, most) in [(Granularity::Monthly, 1), (Granularity::Daily, 31)] {
        let came = costs(ground, QUIET, granularity, "UnblendedCost").map_err(|e| e.to_string())?.value.entries;
        unless(came.is_empty() || came.len() == most, || text(&came))?;
    }
    Ok(())
}

fn refused(came: &Result<Reply<Listing<CostPeriod>>, CallError>) -> Result<(), String> {
    let right =
        |error: &CallError| error.kind == CallErrorKind::Refused && error.message.contains("ValidationException");
    unless(came.as_ref().is_err_and(right), || text(came))
}

fn cost_window(ground: &Ground) -> Result<(), String> {
    refused(&costs(ground, ("2025-12-01", "2025-12-01"), Granularity::Monthly, "UnblendedCost"))?;
    refused(&costs(ground, ("2025-12-02", "2025-12-01"), Granularity::Daily, "UnblendedCost"))
}

fn cost_future(ground: &Ground) -> Result<(), String> {
    refused(&costs(ground, ("2199-01-01", "2199-02-01"), Granularity::Monthly, "UnblendedCost"))
}

fn cost_day(ground: &Ground) -> Result<(), String> {
    refused(&costs(ground, ("2025-12", "2026-01-01"), Granularity::Monthly, "UnblendedCost"))
}

fn cost_metric(ground: &Ground) -> Result<(), String> {
    refused(&costs(ground, QUIET, Granularity::Monthly, "ImaginaryCost"))
}
