//! What every test of this target stands on: processes, repositories, worlds.

mod process;
mod repository;
mod server;
mod world;

pub use process::{Gate, Ran};
pub use repository::{HANDOFF, OwnCopy, PLAN, REGISTRY, both_tracks, fixture, json, real, tree, workspace};
pub use server::Server;
pub use world::{EVIDENCE, Inventory, Kept};

use sha2::{Digest as _, Sha256};

/// The instant at which the fixtures' world begins.
pub const WORLD_BEGINS: &str = "2026-02-13T21:42:23Z";
/// An instant that is not the world's.
pub const CLOCK: &str = "2026-03-01T10:00:00Z";
/// [`CLOCK`] as ids have it.
pub const CLOCK_ID: &str = "20260301T100000Z";

/// SHA-256 by the library, not by the code under test.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
