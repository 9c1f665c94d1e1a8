//! Verify-ID command templates: parsing, placeholders, typed commands. No shell is ever run.
//!
//! # The format
//! A template is the second cell of a Verify-ID's row. A cell that begins with a code span is a command:
//!
//! - **Quoting.** Where the first quote is written `\"`, one JSON layer is removed from the whole command. Then POSIX
//!   rules hold, but backticks are literal, and so are parentheses. Expansions, redirections, and the operators `;` and
//!   `||` are refused; `&&` joins `Test-Path`s, `|` leads from `Get-Content` to `ConvertFrom-Json`.
//! - **Placeholders** are `<name>`. Handles are in upper case; `<x_id>` also means `<x_execution_id>`. `<PIN_…>` and
//!   `TO_PIN` are literals.
//! - **Elisions** are `<...>` and a path's trailing `/...`. They are named `elision_1`, `elision_2`, … in the order in
//!   which they stand, and the lane binds them under these names.
//! - **Prose behind the command**, after `+`, is kept.
//!
//! A cell that does not begin with a code span, or whose span is only a program's name with prose behind it, is prose.
//! An unknown program, sub-command or flag is an error.

mod aws;
mod bind;
mod documents;
mod flags;
mod paste;
mod search;
mod template;
mod typed;
mod words;

pub use bind::{Call, Supplied};
pub use search::{GuardProof, Match, Search, SearchError, guard_can_find, rip_grep};
pub use template::{Elision, Kind, Template, TemplateError, parse, resolve};
pub use typed::{Command, CostWindow, RipGrep};
