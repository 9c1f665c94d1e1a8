//! What is built and what was built, as facts: the Dockerfile, the build context, and the layers of an image.
//!
//! - [`dockerfile`]: what a Dockerfile takes from where, and which of its variables hold a secret.
//!
//! Nothing here judges: facts are for checks. What cannot be read whole is an error, never an empty answer.

pub mod dockerfile;
