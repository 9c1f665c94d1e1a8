//! The forms of `world.toml`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::civil::Date;
use serde::Deserialize;

use crate::substrate::embedded::fleet;
use crate::substrate::stand_ins::{KafkaForm, PostgresForm};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    pub account: String,
    pub region: String,
    pub instant: String,
    #[serde(default, rename = "bucket")]
    pub buckets: Vec<BucketForm>,
    #[serde(default, rename = "object")]
    pub objects: Vec<ObjectForm>,
    #[serde(default, rename = "delete_marker")]
    pub delete_markers: Vec<DeleteMarkerForm>,
    #[serde(default, rename = "ecr_repository")]
    pub repositories: Vec<RepositoryForm>,
    #[serde(default, rename = "ecr_image")]
    pub images: Vec<ImageForm>,
    #[serde(default, rename = "policy")]
    pub policies: Vec<PolicyForm>,
    #[serde(default, rename = "role")]
    pub roles: Vec<RoleForm>,
    #[serde(default, rename = "parameter")]
    pub parameters: Vec<ParameterForm>,
    #[serde(default, rename = "state_machine")]
    pub state_machines: Vec<StateMachineForm>,
    #[serde(default, rename = "execution")]
    pub executions: Vec<ExecutionForm>,
    #[serde(default, rename = "cost")]
    pub costs: Vec<CostForm>,
    #[serde(default, rename = "cluster")]
    pub clusters: Vec<fleet::Cluster>,
    #[serde(default, rename = "task_definition")]
    pub task_definitions: Vec<fleet::Definition>,
    #[serde(default, rename = "service")]
    pub services: Vec<fleet::Service>,
    #[serde(default, rename = "stray_task")]
    pub stray_tasks: Vec<fleet::StrayTask>,
    #[serde(default, rename = "log_group")]
    pub log_groups: Vec<fleet::LogGroup>,
    #[serde(default, rename = "log_event")]
    pub log_events: Vec<fleet::LogEvent>,
    #[serde(default, rename = "vpc")]
    pub vpcs: Vec<fleet::Vpc>,
    #[serde(default, rename = "subnet")]
    pub subnets: Vec<fleet::Subnet>,
    #[serde(default, rename = "security_group")]
    pub security_groups: Vec<fleet::SecurityGroup>,
    #[serde(default, rename = "nat_gateway")]
    pub nat_gateways: Vec<fleet::NatGateway>,
    #[serde(default, rename = "terraform_state")]
    pub terraform_states: Vec<TerraformStateForm>,
    #[serde(default, rename = "given")]
    pub given: Vec<GivenForm>,
    #[serde(default)]
    pub kafka: Option<KafkaForm>,
    #[serde(default)]
    pub postgres: Option<PostgresForm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VersioningForm {
    #[serde(alias = "Enabled")]
    Enabled,
    #[serde(alias = "Suspended")]
    Suspended,
    #[default]
    Never,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketForm {
    pub name: String,
    #[serde(default)]
    pub versioning: VersioningForm,
    #[serde(default = "yes")]
    pub public_access_blocked: bool,
    #[serde(default = "aes256")]
    pub encryption: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectForm {
    pub bucket: String,
    pub key: String,
    pub file: Option<PathBuf>,
    pub json: Option<serde_json::Value>,
    pub text: Option<String>,
    #[serde(default = "one")]
    pub versions: u32,
    #[serde(default)]
    pub unless_there: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteMarkerForm {
    pub bucket: String,
    pub key: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryForm {
    pub name: String,
    #[serde(default)]
    pub immutable: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageForm {
    pub repository: String,
    pub tag: String,
    pub manifest_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleForm {
    pub name: String,
    #[serde(default = "ecs_tasks")]
    pub trust_service: String,
    #[serde(default, rename = "policy")]
    pub policies: Vec<PolicyForm>,
    #[serde(default)]
    pub attached: BTreeSet<String>,
    pub permissions_boundary: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyForm {
    pub name: String,
    pub document_file: Option<PathBuf>,
    pub document: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterForm {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ParameterKind {
    String,
    SecureString,
    StringList,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateMachineForm {
    pub name: String,
    #[serde(default = "states")]
    pub role: String,
    pub definition_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TerraformStateForm {
    pub bucket: String,
    pub key: String,
    pub outputs: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub sensitive: BTreeSet<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecutionForm {
    pub state_machine: String,
    pub name: String,
    #[serde(default)]
    pub status: ExecutionState,
    #[serde(default = "no_input")]
    pub input: String,
}

/// The states that AWS's calls can bring an execution into by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ExecutionState {
    #[default]
    Running,
    Aborted,
}

impl ExecutionState {
    /// AWS's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Aborted => "ABORTED",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CostForm {
    pub day: Date,
    #[serde(default = "unblended")]
    pub metric: String,
    pub amount: String,
    #[serde(default = "dollars")]
    pub unit: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenForm {
    pub name: String,
    pub value: Option<String>,
    pub path: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn aes256() -> String {
    "AES256".to_owned()
}

fn ecs_tasks() -> String {
    "ecs-tasks.amazonaws.com".to_owned()
}

fn states() -> String {
    "states".to_owned()
}

fn no_input() -> String {
    "{}".to_owned()
}

fn unblended() -> String {
    "UnblendedCost".to_owned()
}

fn dollars() -> String {
    "USD".to_owned()
}
