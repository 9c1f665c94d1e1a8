//! `phasegate seed`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use support::harness::exit::Exit;
use support::substrate::seed::{World, apply};
use support::substrate::{Options, Substrate, SubstrateKind};

use super::CliError;

/// Put a world onto an AWS-compatible server on this machine
///
/// Only servers on 127.0.0.0/8, ::1 or localhost are seeded. Seeding twice changes nothing; where something else is there
/// already, nothing is overwritten and the command fails.
#[derive(Debug, Args)]
pub(super) struct Seed {
    /// The world: a folder with a world.toml
    #[arg(long, value_name = "DIR")]
    world: PathBuf,
    /// The server, for example http://127.0.0.1:5001
    #[arg(long, env = "AWS_ENDPOINT_URL", hide_env_values = true, value_name = "URL")]
    endpoint: String,
}

impl Seed {
    pub(super) fn main(&self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let world = World::read(&self.world)?;
        let mut options = Options::new(SubstrateKind::Endpoint, world.region());
        options.endpoint = Some(self.endpoint.clone());
        let substrate = Substrate::open(&options)?;
        let seeded = apply(&substrate, &world)?;
        writeln!(
            out,
            "{}, account {}: {} made, {} there already",
            self.endpoint,
            world.account(),
            seeded.made,
            seeded.kept
        )?;
        for left_out in &seeded.left_out {
            writeln!(out, "left out: {left_out}")?;
        }
        Ok(Exit::Advance)
    }
}
