//! One execution: clock, observations, checks, findings, and the lanes that make them.

pub mod cases;
pub mod check;
pub mod clock;
pub mod context;
mod course;
pub mod documents;
pub mod entry;
pub mod execution;
mod executors;
pub mod finding;
mod judge;
pub mod lane;
pub mod objects;
pub mod observation;
pub mod outcome;
pub mod publication;
pub mod repository;
mod resume;
pub(crate) use resume::binary_sha256;
pub mod rows;
pub mod settings;
pub mod stored;
pub mod verify;
