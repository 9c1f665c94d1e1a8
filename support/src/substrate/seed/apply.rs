//! The seeder.

use std::net::IpAddr;

use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability};
use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types as s3;
use aws_sdk_ssm::types::ParameterType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::SeedError;
use super::forms::{
    BucketForm, ExecutionForm, ExecutionState, ImageForm, ParameterForm, ParameterKind, RepositoryForm,
    StateMachineForm, VersioningForm,
};
use super::world::{Content, World};
use crate::substrate::ExecutionInfo;
use crate::substrate::embedded::costs::{Billed, CostRow};
use crate::substrate::link::Link;
use crate::substrate::reply::{CallError, CallErrorKind};
use crate::substrate::{StandInWorld, Substrate, SubstrateKind};

/// What seeding did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seeded {
    /// How many things were made.
    pub made: usize,
    /// How many were there already, as the world says.
    pub kept: usize,
    /// What the world says and this substrate cannot be given, each with its reason.
    pub left_out: Vec<String>,
}

/// Makes `world` on `substrate`.
///
/// # Errors
/// When the substrate may not be seeded, is another account or region, holds something else
/// already, or when a call fails.
pub fn apply(substrate: &Substrate, world: &World) -> Result<Seeded, SeedError> {
    allowed(substrate)?;
    if substrate.region() != world.region() {
        return Err(SeedError::Region { is: substrate.region().to_owned(), world: world.region().to_owned() });
    }
    if let Some(embedded) = &substrate.world {
        embedded.claim(world.account(), world.begins)?;
    }
    let is = substrate.identity()?.value.account;
    if is != world.account() {
        return Err(SeedError::Account { is, world: world.account().to_owned() });
    }
    stand_in(substrate, world)?;
    let mut seeder = Seeder::new(substrate);
    seeder.all(world)?;
    Ok(seeder.seeded)
}

/// Lets what `world` has stand in for Kafka and the database, on this machine; for another substrate over a world that is made already.
///
/// # Errors
/// When the substrate may not be seeded, or nothing can listen on this machine.
pub fn stand_in(substrate: &Substrate, world: &World) -> Result<(), SeedError> {
    allowed(substrate)?;
    let servers = StandInWorld { kafka: world.form.kafka.clone(), postgres: world.form.postgres.clone() };
    substrate.let_stand_in(&servers).map_err(SeedError::StandIn)
}

/// Tells ECR of an image that was pushed to the registry that stands in for its own. ECR itself needs no telling, and is never told.
///
/// # Errors
/// When the substrate may not be seeded, when the tag stands for another image already, or when a call fails.
pub fn image_arrived(substrate: &Substrate, repository: &str, tag: &str, manifest: &str) -> Result<(), SeedError> {
    allowed(substrate)?;
    Seeder::new(substrate).image_as(repository, tag, manifest)
}

/// Refuses everything but embedded worlds and servers on this machine.
fn allowed(substrate: &Substrate) -> Result<(), SeedError> {
    let refused = |what: &str| Err(SeedError::NotALoopback { what: what.to_owned() });
    match (substrate.kind(), substrate.endpoint()) {
        (SubstrateKind::Embedded, _) => Ok(()),
        (SubstrateKind::Endpoint, Some(endpoint)) if is_loopback(endpoint) => Ok(()),
        (SubstrateKind::Endpoint, endpoint) => refused(endpoint.unwrap_or("an unknown endpoint")),
        (SubstrateKind::Aws, _) => refused("the AWS cloud"),
    }
}

/// Whether the host of `endpoint` is this machine.
fn is_loopback(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The raw clients; nothing outside the seeder gets them.
pub(super) struct Seeder<'a> {
    pub(super) substrate: &'a Substrate,
    pub(super) link: &'a Link,
    s3: aws_sdk_s3::Client,
    ecr: aws_sdk_ecr::Client,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
    pub(super) cloudcontrol: aws_sdk_cloudcontrol::Client,
    ssm: aws_sdk_ssm::Client,
    sfn: aws_sdk_sfn::Client,
    pub(super) seeded: Seeded,
}

impl<'a> Seeder<'a> {
    fn new(substrate: &'a Substrate) -> Self {
        let config = &substrate.config;
        Self {
            substrate,
            link: &substrate.link,
            s3: substrate.s3.client.clone(),
            ecr: aws_sdk_ecr::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            ecs: aws_sdk_ecs::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            cloudcontrol: aws_sdk_cloudcontrol::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            sfn: aws_sdk_sfn::Client::new(config),
            seeded: Seeded::default(),
        }
    }

    fn all(&mut self, world: &World) -> Result<(), SeedError> {
        for bucket in &world.form.buckets {
            self.bucket(bucket, world.region())?;
        }
        for object in &world.objects {
            self.object(object)?;
        }
        for marker in &world.form.delete_markers {
            self.delete_marker(&marker.bucket, &marker.key)?;
        }
        for repository in &world.form.repositories {
            self.repository(repository)?;
        }
        for (image, manifest) in world.form.images.iter().zip(&world.images) {
            self.image(image, manifest)?;
        }
        self.roles(world)?;
        for parameter in &world.form.parameters {
            self.parameter(parameter)?;
        }
        for (machine, definition) in world.form.state_machines.iter().zip(&world.definitions) {
            self.state_machine(machine, definition, world.account())?;
        }
        for execution in &world.form.executions {
            self.execution(execution, world.account())?;
        }
        self.costs(&world.costs)?;
        self.fleet(world)
    }

    fn bucket(&mut self, bucket: &BucketForm, region: &str) -> Result<(), SeedError> {
        let name = &bucket.name;
        match self.substrate.s3().head_bucket(name) {
            Ok(_) => self.seeded.kept += 1,
            Err(error) if error.kind == CallErrorKind::NotFound => {
                self.create_bucket(name, region)?;
                self.seeded.made += 1;
            }
            Err(error) => return Err(error.into()),
        }
        self.versioning(bucket)?;
        self.public_access(bucket)?;
        self.encryption(bucket)
    }

    fn create_bucket(&self, name: &str, region: &str) -> Result<(), SeedError> {
        // The oldest region is the one that must not be named.
        let place = (region != "us-east-1").then(|| {
            s3::CreateBucketConfiguration::builder()
                .location_constraint(s3::BucketLocationConstraint::from(region))
                .build()
        });
        let call = self.link.call("s3api", "create-bucket", name);
        let request = self.s3.create_bucket().bucket(name).set_create_bucket_configuration(place).customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn versioning(&self, bucket: &BucketForm) -> Result<(), SeedError> {
        let status = match bucket.versioning {
            VersioningForm::Never => return Ok(()),
            VersioningForm::Enabled => s3::BucketVersioningStatus::Enabled,
            VersioningForm::Suspended => s3::BucketVersioningStatus::Suspended,
        };
        let call = self.link.call("s3api", "put-bucket-versioning", &bucket.name);
        let request = self
            .s3
            .put_bucket_versioning()
            .bucket(&bucket.name)
            .versioning_configuration(s3::VersioningConfiguration::builder().status(status).build())
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn public_access(&self, bucket: &BucketForm) -> Result<(), SeedError> {
        let blocked = bucket.public_access_blocked;
        let call = self.link.call("s3api", "put-public-access-block", &bucket.name);
        let request = self
            .s3
            .put_public_access_block()
            .bucket(&bucket.name)
            .public_access_block_configuration(
                s3::PublicAccessBlockConfiguration::builder()
                    .block_public_acls(blocked)
                    .ignore_public_acls(blocked)
                    .block_public_policy(blocked)
                    .restrict_public_buckets(blocked)
                    .build(),
            )
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn encryption(&self, bucket: &BucketForm) -> Result<(), SeedError> {
        let refused = |error: BuildError| refused_value(&bucket.name, &error);
        let algorithm = s3::ServerSideEncryption::from(bucket.encryption.as_str());
        let by_default =
            s3::ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm).build().map_err(refused)?;
        let rule = s3::ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by_default).build();
        let configuration = s3::ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(refused)?;
        let call = self.link.call("s3api", "put-bucket-encryption", &bucket.name);
        let request = self
            .s3
            .put_bucket_encryption()
            .bucket(&bucket.name)
            .server_side_encryption_configuration(configuration)
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn object(&mut self, object: &Content) -> Result<(), SeedError> {
        let (bucket, key) = (object.bucket.as_str(), object.key.as_str());
        let listed = self.substrate.s3().list_versions(bucket, key)?.value;
        let newest = listed.entries.iter().find(|version| version.key == key && !version.delete_marker);
        if let Some(newest) = newest {
            if object.unless_there {
                self.seeded.kept += 1;
                return Ok(());
            }
            let version = (newest.version_id != "null").then_some(newest.version_id.as_str());
            let there = self.substrate.s3().get_object(bucket, key, version)?;
            if there.value.bytes != object.bytes {
                return Err(differs(format!("s3://{bucket}/{key}")));
            }
            self.seeded.kept += 1;
            return Ok(());
        }
        for _ in 0..object.versions {
            self.put(object)?;
        }
        self.seeded.made += 1;
        Ok(())
    }

    fn put(&self, object: &Content) -> Result<(), SeedError> {
        let target = format!("s3://{}/{}", object.bucket, object.key);
        let call = self.link.call("s3api", "put-object", target);
        let request = self
            .s3
            .put_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .content_type(object.content_type)
            .checksum_algorithm(s3::ChecksumAlgorithm::Sha256)
            .checksum_sha256(STANDARD.encode(Sha256::digest(&object.bytes)))
            .body(ByteStream::from(object.bytes.clone()))
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn delete_marker(&mut self, bucket: &str, key: &str) -> Result<(), SeedError> {
        let listed = self.substrate.s3().list_versions(bucket, key)?.value;
        let there = listed.entries.iter().any(|version| version.key == key && version.delete_marker && version.latest);
        if there {
            self.seeded.kept += 1;
            return Ok(());
        }
        let call = self.link.call("s3api", "delete-object", format!("s3://{bucket}/{key}"));
        let request = self.s3.delete_object().bucket(bucket).key(key).customize();
        call.send(request.interceptor(call.probe()).send())?;
        self.seeded.made += 1;
        Ok(())
    }

    fn repository(&mut self, repository: &RepositoryForm) -> Result<(), SeedError> {
        let name = repository.name.as_str();
        if self.is_there(self.substrate.ecr().describe_repositories(&[name]))? {
            return Ok(());
        }
        let mutability = if repository.immutable { ImageTagMutability::Immutable } else { ImageTagMutability::Mutable };
        let call = self.link.call("ecr", "create-repository", name);
        let request = self.ecr.create_repository().repository_name(name).image_tag_mutability(mutability).customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn image(&mut self, image: &ImageForm, manifest: &str) -> Result<(), SeedError> {
        self.image_as(&image.repository, &image.tag, manifest)
    }

    fn image_as(&mut self, repository: &str, tag: &str, manifest: &str) -> Result<(), SeedError> {
        match self.substrate.ecr().describe_image(repository, tag) {
            Ok(_) => {
                if self.manifest(repository, tag)?.as_deref() != Some(manifest) {
                    return Err(differs(format!("image {repository}:{tag}")));
                }
                self.seeded.kept += 1;
                return Ok(());
            }
            Err(error) if error.kind == CallErrorKind::NotFound => self.seeded.made += 1,
            Err(error) => return Err(error.into()),
        }
        let call = self.link.call("ecr", "put-image", format!("{repository}:{tag}"));
        let request =
            self.ecr.put_image().repository_name(repository).image_tag(tag).image_manifest(manifest).customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    /// The manifest's own text: not every server's digest is that of the manifest.
    fn manifest(&self, repository: &str, tag: &str) -> Result<Option<String>, SeedError> {
        let call = self.link.call("ecr", "batch-get-image", format!("{repository}:{tag}"));
        let request = self
            .ecr
            .batch_get_image()
            .repository_name(repository)
            .image_ids(ImageIdentifier::builder().image_tag(tag).build())
            .customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let image = reply.value.images.unwrap_or_default().into_iter().next();
        Ok(image.and_then(|image| image.image_manifest))
    }

    fn parameter(&mut self, parameter: &ParameterForm) -> Result<(), SeedError> {
        let name = parameter.name.as_str();
        let kind = match parameter.kind {
            ParameterKind::String => ParameterType::String,
            ParameterKind::SecureString => ParameterType::SecureString,
            ParameterKind::StringList => ParameterType::StringList,
        };
        let call = self.link.call("ssm", "get-parameter", name);
        let request = self.ssm.get_parameter().name(name).with_decryption(true);
        match call.send(request.customize().interceptor(call.probe()).send()) {
            Ok(there) => {
                let same = there.value.parameter.is_some_and(|there| {
                    there.value.as_deref() == Some(&parameter.value) && there.r#type == Some(kind)
                });
                if !same {
                    return Err(differs(format!("parameter {name}")));
                }
                self.seeded.kept += 1;
                return Ok(());
            }
            Err(error) if error.kind == CallErrorKind::NotFound => self.seeded.made += 1,
            Err(error) => return Err(error.into()),
        }
        let call = self.link.call("ssm", "put-parameter", name);
        let request = self.ssm.put_parameter().name(name).r#type(kind).value(&parameter.value).customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn state_machine(&mut self, machine: &StateMachineForm, definition: &str, account: &str) -> Result<(), SeedError> {
        let name = machine.name.as_str();
        let arn = self.states_arn(account, &format!("stateMachine:{name}"));
        let call = self.link.call("stepfunctions", "describe-state-machine", name);
        let request = self.sfn.describe_state_machine().state_machine_arn(arn);
        let found = call.send(request.customize().interceptor(call.probe()).send());
        if self.is_there(found)? {
            return Ok(());
        }
        let call = self.link.call("stepfunctions", "create-state-machine", name);
        let request = self
            .sfn
            .create_state_machine()
            .name(name)
            .definition(definition)
            .role_arn(format!("arn:aws:iam::{account}:role/{}", machine.role))
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn states_arn(&self, account: &str, what: &str) -> String {
        format!("arn:aws:states:{}:{account}:{what}", self.substrate.region())
    }

    fn execution(&mut self, execution: &ExecutionForm, account: &str) -> Result<(), SeedError> {
        let ExecutionForm { state_machine, name, .. } = execution;
        let arn = self.states_arn(account, &format!("execution:{state_machine}:{name}"));
        match self.substrate.sfn().describe_execution(&arn) {
            Ok(there) => {
                self.seeded.kept += 1;
                return as_written(execution, &there.value);
            }
            Err(error) if error.kind == CallErrorKind::NotFound => self.seeded.made += 1,
            Err(error) => return Err(error.into()),
        }
        let call = self.link.call("stepfunctions", "start-execution", &arn);
        let request = self
            .sfn
            .start_execution()
            .state_machine_arn(self.states_arn(account, &format!("stateMachine:{state_machine}")))
            .name(name)
            .input(&execution.input)
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        if execution.status == ExecutionState::Aborted {
            let call = self.link.call("stepfunctions", "stop-execution", &arn);
            let request = self.sfn.stop_execution().execution_arn(&arn).customize();
            call.send(request.interceptor(call.probe()).send())?;
        }
        // A server that executes may have ended it.
        as_written(execution, &self.substrate.sfn().describe_execution(&arn)?.value)
    }

    fn costs(&mut self, rows: &[CostRow]) -> Result<(), SeedError> {
        if rows.is_empty() {
            return Ok(());
        }
        let Some(world) = &self.substrate.world else {
            let why = "AWS has no call that writes costs, so only a substrate that opened an embedded world has them";
            self.seeded.left_out.push(format!("{} [[cost]] row(s): {why}", rows.len()));
            return Ok(());
        };
        match world.bill(rows)? {
            Billed::Kept { made } => {
                self.seeded.made += made;
                self.seeded.kept += rows.len() - made;
                Ok(())
            }
            Billed::Differs(row) => Err(differs(format!("{} of {}", row.metric, row.day))),
        }
    }

    /// Whether a look-up found its thing; counts either way.
    pub(super) fn is_there<T>(&mut self, found: Result<T, CallError>) -> Result<bool, SeedError> {
        match found {
            Ok(_) => {
                self.seeded.kept += 1;
                Ok(true)
            }
            Err(error) if error.kind == CallErrorKind::NotFound => {
                self.seeded.made += 1;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an execution is what the world says. Not every server keeps the input's spaces.
fn as_written(execution: &ExecutionForm, there: &ExecutionInfo) -> Result<(), SeedError> {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let same_input = there.input.as_deref().and_then(value) == value(&execution.input);
    if same_input && there.status == execution.status.word() {
        return Ok(());
    }
    Err(differs(format!("execution {} ({})", execution.name, there.status)))
}

pub(super) fn differs(what: String) -> SeedError {
    SeedError::Differs { what }
}

pub(super) fn refused_value(what: &str, error: &impl std::fmt::Display) -> SeedError {
    SeedError::Value { what: what.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::is_loopback;

    #[rstest]
    #[case("http://127.0.0.1:5001", true)]
    #[case("http://127.9.8.7", true)]
    #[case("http://localhost:4566/", true)]
    #[case("http://[::1]:5001", true)]
    #[case("https://s3.eu-west-2.amazonaws.com", false)]
    #[case("http://localhost.example.org", false)]
    #[case("http://127.0.0.1@example.org/", false)]
    #[case("http://127.0.0.1.example.org/", false)]
    #[case("http://10.0.0.1", false)]
    #[case("http://0.0.0.0", false)]
    #[case("127.0.0.1:5001/x", false)]
    #[case("", false)]
    fn only_this_machine_may_be_seeded(#[case] endpoint: &str, #[case] allowed: bool) {
        assert_eq!(is_loopback(endpoint), allowed);
    }
}
