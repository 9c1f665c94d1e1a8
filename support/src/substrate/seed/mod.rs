//! Worlds: the state of AWS that a gate starts from, as data, and the seeder that makes one.
//!
//! The seeder knows nothing of plans and registries: a world is literals. It works through the AWS
//! APIs like everyone, and only on worlds that may be seeded: embedded ones, and endpoints on this
//! machine (127.0.0.0/8, `::1`, `localhost`). Seeding a world that has been seeded changes nothing;
//! where what is there differs from the literals, it is an error.
//!
//! # Format
//! A folder with `world.toml`, and the files that it names.
//!
//! ```toml
//! account = "230372904534"          # 12 digits: the identity of the world
//! region = "eu-west-2"
//! instant = "2026-02-10T12:00:00Z"  # when the world begins (UTC)
//!
//! [[bucket]]
//! name = "evidence"
//! versioning = "enabled"            # or "suspended", "never"; "never" if left out
//! public_access_blocked = true      # true if left out
//! encryption = "AES256"             # or "aws:kms"; "AES256" if left out
//!
//! [[object]]                        # exactly one of file, json, text
//! bucket = "evidence"
//! key = "evidence/runs/x/P(-1)/provenance.json"
//! file = "provenance.json"          # a file of this folder, byte by byte
//! # json = { image_tag = "git-1" }  # a value, written as compact JSON; a string is JSON text
//! # text = "…"                      # as it stands
//! versions = 1                      # how many times it is put; 1 if left out
//! unless_there = true               # what a kept world has there already stays; false if left out
//!
//! [[delete_marker]]                 # put after all objects
//! bucket = "evidence"
//! key = "evidence/runs/gone"
//!
//! [[ecr_repository]]
//! name = "platform"
//! immutable = true                  # its tags cannot be moved; false if left out
//!
//! [[ecr_image]]
//! repository = "platform"
//! tag = "git-1"
//! manifest_file = "manifest.json"   # its SHA-256 is the image's digest
//!
//! [[policy]]                        # a managed policy; made before all roles
//! name = "read-own"
//! document_file = "read-own.json"   # or
//! # document = { Version = "2012-10-17", Statement = [] }    # a value, or JSON text
//!
//! [[role]]
//! name = "runtime"
//! trust_service = "ecs-tasks.amazonaws.com"   # who may assume it; that one if left out
//! attached = ["read-own"]           # names of [[policy]]s; none if left out
//! permissions_boundary = "edge"     # the name of a [[policy]]; none if left out
//!
//! [[role.policy]]                   # a policy that is part of the role above
//! name = "logs"
//! document = '''{"Version":"2012-10-17","Statement":[]}'''   # or document_file
//!
//! [kafka]                           # a Kafka cluster, on loopback, for the name that its bootstrap says
//! at = "kafka.example:9092"
//! cluster = { cluster_id = "c", topics = [{ name = "t", partitions = 3 }], login = { user = "u", password = "p" } }
//! # beside these in `cluster`: groups = [{ id = "g", state = "Stable", members = [{ member_id = "m", client_id = "c", host = "/10.0.0.4",
//! # topics = ["t"] }] }], and describe_denied = true for a login that does not see all groups
//!
//! [postgres]                        # a PostgreSQL server, on loopback, for this name
//! at = "db.example:5432"
//! tls = true
//!
//! [[parameter]]
//! name = "/platform/key"
//! type = "SecureString"             # or "String", "StringList"
//! value = "…"
//!
//! [[state_machine]]
//! name = "platform"
//! role = "runtime"                  # "states" if left out
//! definition_file = "machine.json"  # one state that passes, if left out
//!
//! [[execution]]                     # started after all state machines
//! state_machine = "platform"
//! name = "run-1"
//! status = "RUNNING"                # or "ABORTED": started, then stopped; "RUNNING" if left out
//! input = '{"run":"1"}'             # JSON text; "{}" if left out
//!
//! [[terraform_state]]               # written as a state file of format 4
//! bucket = "tfstate"
//! key = "core/terraform.tfstate"
//! outputs = { bucket_name = "evidence", database_password = "…" }
//! sensitive = ["database_password"] # outputs that are marked so; none if left out
//!
//! [[cost]]                          # what one day came to, by one metric
//! day = "2026-02-03"                # not after the day of `instant`
//! metric = "UnblendedCost"          # AWS's name; "UnblendedCost" if left out
//! amount = "12.34"                  # a decimal number
//! unit = "USD"                      # "USD" if left out; one for each metric
//!
//! [[cluster]]
//! name = "main"
//!
//! [[task_definition]]
//! family = "gate"
//! revision = 1                      # 1 if left out
//! task_role = "runtime"             # a role's name, or an ARN; none if left out, so execution_role
//! cpu = "256"                       # none if left out, so memory
//!
//! [[task_definition.container]]
//! name = "app"
//! image = "platform:git-1"          # a digest after `@`, or that of the [[ecr_image]] of this name
//! essential = true                  # true if left out
//! environment = { REQUIRED_PLATFORM_RUN_ID = "platform_1" }
//! secrets = { KEY = "/platform/key" }         # where each value comes from
//! command = ["serve"]               # none if left out, so entrypoint and environment_files
//! health_check = ["CMD-SHELL", "true"]        # none if left out; a task with one is HEALTHY once it runs
//! log_group = "/platform/gate"      # none if left out; one that is no [[log_group]] takes nothing
//! log_stream_prefix = "ecs"         # "ecs" if left out
//!
//! [[service]]
//! cluster = "main"
//! name = "gate"
//! task_definition = "gate"          # a family, then its latest revision, or family:revision
//! desired = 0                       # 0 if left out; with more it runs since `instant`
//! subnets = ["subnet-1"]            # none if left out, so security_groups
//! assign_public_ip = false          # false if left out
//! status = "ACTIVE"                 # or "DRAINING", "INACTIVE": these have no tasks
//! behaviour = "steady"              # or "crash_loop", "pending", "unhealthy", "refused" (updates)
//! starts_after = 1                  # DescribeServices calls that still see it starting; if left out
//!                                   # 1, and 0 for one that runs since `instant`
//! log = "run scope mismatch"        # what each task logs, beside "ready run=<its run>"
//!
//! [[stray_task]]                    # one that no service started, running since `instant`
//! cluster = "main"
//! family = "gate"
//! started_by = "somebody"           # none if left out
//! group = "family:gate"             # family:<family> if left out
//! environment = { A = "1" }         # over the environment of its first container
//!
//! [[log_group]]
//! name = "/platform/gate"
//! retention_days = 7                # for ever if left out
//!
//! [[log_event]]                     # written at `instant`
//! group = "/platform/gate"
//! stream = "app/1"
//! message = "words"
//!
//! [[vpc]]
//! id = "vpc-1"
//!
//! [[subnet]]
//! id = "subnet-1"
//! vpc = "vpc-1"
//! zone = "eu-west-2a"
//! maps_public_ip = false            # false if left out
//!
//! [[security_group]]
//! id = "sg-1"
//! vpc = "vpc-1"
//!
//! [[nat_gateway]]
//! id = "nat-1"
//! subnet = "subnet-1"
//! vpc = "vpc-1"                     # not told if left out, so state
//!
//! [[given]]                         # what the environment would say in a rehearsal; nothing is made of it
//! name = "PLATFORM_IMAGE"
//! value = "platform:dev"            # or
//! # path = "../../platform-image"   # something that is there; absolute when it is read
//! ```
//!
//! # What cannot be made everywhere
//! - Costs: AWS has no call that writes them. They are made in the embedded world only, beside the
//!   wire; on a server they are left out, and [`Seeded::left_out`] names them.
//! - Everything of ECS, CloudWatch Logs and networks, in the same way: how a service is going to do
//!   is no call's.
//! - Executions that have succeeded or failed: nothing executes in the embedded world. On a server
//!   that does execute, a machine whose executions are to stay `RUNNING` needs a `definition_file`
//!   that waits; one that has ended by itself is told as a difference.

mod apply;
mod daemons;
mod fleet;
mod forms;
mod roles;
mod world;

use std::path::PathBuf;

pub use apply::{Seeded, apply, image_arrived, stand_in};
pub use world::World;

use super::embedded::WorldError;
use super::reply::CallError;

/// Why a world could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// What stands in for a server could not be started.
    #[error("what stands in for Kafka or the database could not be started on this machine: {0}")]
    StandIn(#[source] std::io::Error),
    /// A file of the world could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `world.toml` does not have the form that it should have.
    #[error("{path}: {message}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line where that is known, and what to write instead.
        message: String,
    },
    /// The substrate may not be seeded.
    #[error(
        "{what} may not be seeded: only an embedded world, or an endpoint on this machine (127.0.0.1, ::1, localhost)"
    )]
    NotALoopback {
        /// What was to be seeded.
        what: String,
    },
    /// The server is another account than the world.
    #[error(
        "the server says it is account {is}, the world is {world}; start the server for that account, or seed another one"
    )]
    Account {
        /// What the server says.
        is: String,
        /// What the world says.
        world: String,
    },
    /// The substrate asks another region than the world is in.
    #[error("the substrate asks region {is}, the world is in {world}; open it with that region")]
    Region {
        /// The substrate's region.
        is: String,
        /// The world's region.
        world: String,
    },
    /// Something is there already, and is not what the world says.
    #[error("{what} is there already and differs from the world; seed an empty one")]
    Differs {
        /// What differs.
        what: String,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] Box<CallError>),
    /// The embedded world refused.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A value that AWS's client library refuses.
    #[error("{what}: {message}")]
    Value {
        /// What it is for.
        what: String,
        /// Why it is refused.
        message: String,
    },
}

impl From<CallError> for SeedError {
    fn from(error: CallError) -> Self {
        Self::Call(Box::new(error))
    }
}
