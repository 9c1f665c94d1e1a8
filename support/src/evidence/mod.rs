//! Evidence: canonical bytes, digests, and the one door by which artifacts leave.
//!
//! [`Door::publish`] is the only function that writes evidence: canonical bytes → secret scan → minimum fields → local file
//! (temporary file, fsync, rename without replacing) → conditional put with SHA-256 → read back, hash, compare → [`Receipt`].
//! Each step has its own [`PublishError`] and its own [`PublishStep`], because plans give each step its own blocker code.

pub mod artifact;
pub mod canonical;
pub mod digest;
mod door;
mod durable;
mod error;
mod local;
mod receipt;
mod store;

pub use artifact::Artifact;
pub use door::{Destination, Door, Durable, Limits, Watch, WritePoint};
pub use durable::{METADATA_PUBLISH, METADATA_WRITER};
pub use error::{PublishError, PublishStep};
pub(crate) use local::link_on_the_way;
pub use local::{TEMPORARY_PREFIX, digests_below};
pub use receipt::{CanaryReceipt, DurableReceipt, Receipt, Refusal, ServerChosen};
pub use store::{Got, Put, Store};
