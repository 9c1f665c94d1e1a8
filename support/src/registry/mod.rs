//! Handle registries in Markdown, parsed with source positions.
//!
//! # The format
//! A registry is a Markdown document. A list item that begins with a code span defines or mentions a handle:
//!
//! | the code span | means |
//! | --- | --- |
//! | `NAME = "text"` | a text; also a number, `true`, `false`, `null`, a JSON list, a JSON map |
//! | `NAME = OTHER_NAME` | the value of another handle: unquoted upper case (quoted, it is a text) |
//! | `NAME = "TO_PIN"`, `NAME = "<PIN_AT_…>"` | a placeholder: declared, and not yet pinned |
//! | `NAME` | declared; the value comes from elsewhere (a handoff, Terraform, AWS) |
//!
//! What follows the closing backtick on that line is a note, and no part of the value. The same name may stand twice
//! with the same value; with two values it is an error where the handle is required. A bare mention never overrides a
//! value. A list under a paragraph that speaks of "allowed … tokens" and ends with a colon names the tokens that path
//! patterns may use.
//!
//! A line that looks like a definition and cannot be read is a [`RegistryError`], and a look-up of the handle that it
//! names fails: it is never passed over.

mod handles;
mod lookup;
mod markdown;
mod names;
mod notes;
mod pattern;
mod value;

pub use handles::{Handles, SourceError};
pub use lookup::{HandleError, Registry, Resolved, SourceClass};
pub use markdown::{Definition, Parsed, RegistryError, RegistryErrorKind, parse};
pub(crate) use markdown::{first_code_span, with_value_on_line};
pub use names::is_handle_name;
pub use notes::{Note, notes_of};
pub use pattern::{AllowedTokens, PatternError, fill_pattern};
pub(crate) use pattern::{unsafe_anywhere, unsafe_in_path_segment};
pub use value::{HandleValue, ValueError, placeholder_in};
