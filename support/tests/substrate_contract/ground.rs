//! What the assertions stand on: a substrate to read by, and raw clients to write by.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use phasegate_support::substrate::embedded::{self, EmbeddedWorld};
use phasegate_support::substrate::{Options, Substrate, SubstrateKind};
use tokio::runtime::Runtime;

pub const REGION: &str = "eu-west-2";
pub const ACCOUNT: &str = "230372904534";

/// What came instead of the right answer.
pub fn unless(right: bool, came: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(came()) }
}

pub struct Ground {
    pub substrate: Substrate,
    pub runtime: Runtime,
    pub s3: aws_sdk_s3::Client,
    pub s3_wrong_secret: aws_sdk_s3::Client,
    pub cloud: aws_sdk_cloudcontrol::Client,
    pub ecr: aws_sdk_ecr::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub iam: aws_sdk_iam::Client,
    pub sfn: aws_sdk_sfn::Client,
    pub ssm: aws_sdk_ssm::Client,
    names: AtomicU32,
    tag: String,
}

impl Ground {
    pub fn embedded(world: &EmbeddedWorld) -> Self {
        world.claim(ACCOUNT, 1_770_724_800).unwrap();
        let mut options = Options::new(SubstrateKind::Embedded, REGION);
        options.http = Some(embedded::connector(world));
        Self::new(&options, "http://embedded.invalid", embedded::ACCESS_KEY, embedded::SECRET_KEY)
    }

    pub fn endpoint(endpoint: &str) -> Self {
        let mut options = Options::new(SubstrateKind::Endpoint, REGION);
        options.endpoint = Some(endpoint.to_owned());
        let key = std::env::var("AWS_ACCESS_KEY_ID").expect("AWS_ACCESS_KEY_ID");
        let secret = std::env::var("AWS_SECRET_ACCESS_KEY").expect("AWS_SECRET_ACCESS_KEY");
        Self::new(&options, endpoint, &key, &secret)
    }

    fn new(options: &Options, endpoint: &str, key: &str, secret: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let http = options.http.clone();
        let load = |secret: &str| runtime.block_on(config(endpoint, key, secret, http.clone()));
        let right = load(secret);
        let wrong = load("not-the-secret");
        Self {
            substrate: Substrate::open(options).unwrap(),
            s3: s3_client(&right),
            s3_wrong_secret: s3_client(&wrong),
            cloud: aws_sdk_cloudcontrol::Client::new(&right),
            ecr: aws_sdk_ecr::Client::new(&right),
            ecs: aws_sdk_ecs::Client::new(&right),
            iam: aws_sdk_iam::Client::new(&right),
            sfn: aws_sdk_sfn::Client::new(&right),
            ssm: aws_sdk_ssm::Client::new(&right),
            runtime,
            names: AtomicU32::new(0),
            tag: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
        }
    }

    /// A name that nothing has yet, also on a server that has served this list before.
    pub fn name(&self, what: &str) -> String {
        let number = self.names.fetch_add(1, Ordering::SeqCst);
        format!("{what}-{}-{number}", self.tag)
    }

    /// A new bucket that keeps versions.
    pub fn bucket(&self) -> String {
        let name = self.plain_bucket();
        self.set_versioning(&name, BucketVersioningStatus::Enabled);
        name
    }

    /// A new bucket.
    pub fn plain_bucket(&self) -> String {
        let name = self.name("contract");
        let place =
            CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(REGION)).build();
        self.runtime.block_on(self.s3.create_bucket().bucket(&name).create_bucket_configuration(place).send()).unwrap();
        name
    }

    pub fn set_versioning(&self, bucket: &str, status: BucketVersioningStatus) {
        let asked = VersioningConfiguration::builder().status(status).build();
        self.runtime
            .block_on(self.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(asked).send())
            .unwrap();
    }
}

async fn config(endpoint: &str, key: &str, secret: &str, http: Option<SharedHttpClient>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(key, secret, None, None, "contract"));
    if let Some(http) = http {
        loader = loader.http_client(http);
    }
    loader.load().await
}

fn s3_client(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(config)
}
