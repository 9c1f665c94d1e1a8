//! What this platform's phases do: one gate for each phase and track.

pub mod m1;
pub mod m3;
pub mod m4;
