//! The engine of phasegate: it reads plans and registries, carries out documented commands, keeps
//! evidence, and judges checks. It knows what a plan is and knows no phase by name.

pub mod command;
pub mod evidence;
pub mod harness;
pub mod image;
pub mod plan;
pub mod reach;
pub mod registry;
pub mod run;
pub mod secrets;
pub mod substrate;
pub mod text;
