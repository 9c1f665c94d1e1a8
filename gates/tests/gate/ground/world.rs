//! A kept world, looked at through S3's own calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use support::substrate::seed::{self, World};
use support::substrate::{Options, Substrate, SubstrateKind};
use tempfile::TempDir;

use super::repository::workspace;

/// The bucket that evidence goes to.
pub const EVIDENCE: &str = "fraud-platform-dev-min-evidence";

/// Version ids by bucket and key; a delete marker is told apart.
pub type Inventory = BTreeMap<(String, String), Vec<(String, bool)>>;

/// A world on disk.
pub struct Kept(TempDir);

impl Kept {
    /// With what the fixtures put into it.
    pub fn seeded() -> Self {
        let kept = Self(TempDir::new().unwrap());
        seed::apply(&kept.open(), &fixture_world()).unwrap();
        kept
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> Substrate {
        let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
        options.world_dir = Some(self.dir().to_owned());
        Substrate::open(&options).unwrap()
    }

    /// Every version of every object.
    pub fn inventory(&self) -> Inventory {
        let substrate = self.open();
        let mut all = Inventory::new();
        for bucket in buckets() {
            let versions = substrate.s3().list_versions(&bucket, "").unwrap().value;
            assert!(versions.complete);
            for version in versions.entries {
                let of_key = all.entry((bucket.clone(), version.key)).or_default();
                of_key.push((version.version_id, version.delete_marker));
            }
        }
        all
    }

    /// The bytes of an object of the evidence bucket.
    pub fn evidence(&self, key: &str) -> Vec<u8> {
        let reply = self.open().s3().get_object(EVIDENCE, key, None);
        reply.unwrap_or_else(|e| panic!("{key}: {e}")).value.bytes
    }
}

fn world_folder() -> PathBuf {
    workspace().join("fixtures/world/dev_min")
}

fn fixture_world() -> World {
    World::read(&world_folder()).unwrap()
}

fn buckets() -> BTreeSet<String> {
    let text = std::fs::read_to_string(world_folder().join("world.toml")).unwrap();
    let world: toml::Table = text.parse().unwrap();
    let named = |bucket: &toml::Value| bucket["name"].as_str().unwrap().to_owned();
    world["bucket"].as_array().unwrap().iter().map(named).collect()
}
