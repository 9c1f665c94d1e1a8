//! The judge of the sweep, held to what it must refuse.
use super::judge::Clean;
pub fn wrong(_clean: &Clean) -> Vec<String> { Vec::new() }
