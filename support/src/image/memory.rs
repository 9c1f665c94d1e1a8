//! What an engine said of images, kept by their ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::substrate::reply::{CallError, Reply};

/// What engines said of images that are named by their ids, for many gates over the same images in one process: drills and mutants.
///
/// An id is the digest of what the image holds, so the same invocation of it is asked of the engine once. A gate that counts has no
/// memory: its engine is opened without one, and every claim is asked for.
#[derive(Debug, Default)]
pub struct Memory {
    said: Mutex<HashMap<String, Slot>>,
}

/// An answer that is there or under way.
type Slot = Arc<Mutex<Option<Said>>>;

#[derive(Debug)]
struct Said {
    value: Value,
    request_id: Option<String>,
    attempts: u32,
}

impl Memory {
    /// The answer to `question`, which is asked by `ask` when nobody has; who comes meanwhile waits for it. An error, and what does not
    /// last, is kept for nobody.
    pub(super) fn once<T: Serialize + DeserializeOwned>(
        &self,
        question: String,
        lasts: impl FnOnce(&T) -> bool,
        ask: impl FnOnce() -> Result<Reply<T>, CallError>,
    ) -> Result<Reply<T>, CallError> {
        let slot = {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(said.entry(question).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = slot.as_ref()
            && let Ok(value) = T::deserialize(&said.value)
        {
            return Ok(Reply { value, request_id: said.request_id.clone(), attempts: said.attempts });
        }
        let reply = ask()?;
        let kept = if lasts(&reply.value) { serde_json::to_value(&reply.value).ok() } else { None };
        *slot = kept.map(|value| Said { value, request_id: reply.request_id.clone(), attempts: reply.attempts });
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::substrate::reply::CallErrorKind;

    fn reply(value: u32) -> Reply<u32> {
        Reply { value, request_id: None, attempts: 1 }
    }

    fn error() -> CallError {
        CallError {
            kind: CallErrorKind::Unreachable,
            service: "docker".to_owned(),
            operation: "run".to_owned(),
            target: "x".to_owned(),
            status: None,
            request_id: None,
            message: "x".to_owned(),
            attempts: 1,
        }
    }

    #[test]
    fn a_question_is_asked_once_and_another_one_by_itself() {
        let (memory, asked) = (Memory::default(), AtomicU32::new(0));
        let ask = |question: &str| {
            memory
                .once(question.to_owned(), |_| true, || Ok(reply(asked.fetch_add(1, Ordering::SeqCst))))
                .unwrap()
                .value
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| ask("a"))).collect();
            assert!(all.into_iter().all(|one| one.join().unwrap() == 0));
        });
        assert_eq!((ask("b"), ask("a"), asked.load(Ordering::SeqCst)), (1, 0, 2));
    }

    #[test]
    fn an_error_and_an_accident_are_asked_again() {
        let memory = Memory::default();
        assert!(memory.once::<u32>("a".to_owned(), |_| true, || Err(error())).is_err());
        assert_eq!(memory.once("a".to_owned(), |_| false, || Ok(reply(7))).unwrap().value, 7);
        assert_eq!(memory.once("a".to_owned(), |_| true, || Ok(reply(8))).unwrap().value, 8);
        assert_eq!(memory.once("a".to_owned(), |_| true, || Ok(reply(9))).unwrap().value, 8);
    }
}
