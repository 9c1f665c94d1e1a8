//! A walk over pages that are chained by tokens.

use std::collections::BTreeSet;

use super::link::Call;
use super::reply::{CallError, Reply};
use super::s3::Listing;

/// One walk: the entries so far, and where the next page begins.
pub(super) struct Walk<T> {
    entries: Vec<T>,
    token: Option<String>,
    used: BTreeSet<String>,
    attempts: u32,
}

impl<T> Default for Walk<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), token: None, used: BTreeSet::new(), attempts: 0 }
    }
}

impl<T> Walk<T> {
    /// The token of the page that is to be asked for; none for the first one.
    pub(super) fn token(&mut self) -> Option<String> {
        self.token.take()
    }

    pub(super) fn push(&mut self, entry: T) {
        self.entries.push(entry);
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.entries.last()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Ends one page, which names the next one by `token`.
    pub(super) fn is_over(&mut self, call: &Call<'_>, attempts: u32, token: Option<String>) -> Result<bool, CallError> {
        self.attempts = self.attempts.saturating_add(attempts);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(true);
        };
        if !self.used.insert(token.clone()) {
            return Err(call.malformed("a page names a token that was used before"));
        }
        self.token = Some(token);
        Ok(false)
    }

    /// The entries so far, where no further page is asked for.
    pub(super) fn cut_short(self, call: &Call<'_>) -> Reply<Listing<T>> {
        let mut reply = self.reply(call);
        reply.value.complete = false;
        reply
    }

    /// All entries, after the last page.
    pub(super) fn reply(self, call: &Call<'_>) -> Reply<Listing<T>> {
        let mut reply = call.reply(Listing { entries: self.entries, complete: true });
        reply.attempts = self.attempts;
        reply
    }
}
