//! Every fault that a call can meet, and which of them can happen to which call.
//!
//! A fault is swept where a client can know that something is wrong, or where nothing is. What no client can know is not asked of the gate:
//! - A server that leaves out the last entries of a list, and the mark of a next page with them, tells a consistent lie. Lists are swept
//!   with what contradicts itself: more follows and no place to go on from (`page_unnamed`), a next page that is the same again
//!   (`page_loop`) or cannot be had (`page_broken`), a list that counts an entry which is not there (`page_miscounted`, where the protocol
//!   counts: `ListObjectsV2` only).
//! - `other_bytes` answers a read with another object's bytes, length, checksum and metadata, under the version that was asked. Of what was
//!   written before, the digest is known; of what is read for the first time only the content can tell.
//!
//! Status 400, 403, 404 and 412 are tried once: nobody sends such a request again. The others come in two kinds: once, and lasting, which
//! meets all attempts and every later call that asks the same.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::kit::wire::answer::{Body, code_of, is_list};
use super::kit::wire::{Call, Fault, Page};

/// One way in which a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    what: What,
    lasting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Delay,
    Hang,
    DropBefore,
    DropAfter,
    Status(u16),
    StatusAfter(u16),
    Half,
    Malformed,
    OtherBytes,
    PageUnnamed,
    PageLoop,
    PageBroken,
    PageMiscounted,
}

const ONCE: [What; 20] = [
    What::Delay,
    What::Hang,
    What::DropBefore,
    What::DropAfter,
    What::Status(400),
    What::Status(403),
    What::Status(404),
    What::Status(409),
    What::Status(412),
    What::Status(500),
    What::Status(503),
    What::StatusAfter(500),
    What::StatusAfter(503),
    What::Half,
    What::Malformed,
    What::OtherBytes,
    What::PageUnnamed,
    What::PageLoop,
    What::PageBroken,
    What::PageMiscounted,
];

const LASTING: [What; 8] = [
    What::DropBefore,
    What::DropAfter,
    What::Status(409),
    What::Status(500),
    What::Status(503),
    What::StatusAfter(500),
    What::Half,
    What::Malformed,
];

impl Kind {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let once = ONCE.into_iter().map(|what| Self { what, lasting: false });
        once.chain(LASTING.into_iter().map(|what| Self { what, lasting: true })).collect()
    }

    /// The fault on the call of this number, from 1; none where it cannot happen to such a call.
    pub fn on(self, number: usize, call: &Call) -> Option<Fault> {
        let asked = &call.asked;
        let s3 = asked.service == "s3";
        let can = match self.what {
            What::StatusAfter(_) => asked.operation == "PutObject",
            What::Half => call.body != Body::Empty,
            What::Malformed => matches!(call.body, Body::Xml | Body::Json),
            What::OtherBytes => call.body == Body::Object,
            What::PageUnnamed => s3 && is_list(asked),
            What::PageLoop | What::PageBroken => is_list(asked),
            What::PageMiscounted => asked.operation == "ListObjectsV2",
            What::Delay | What::Hang | What::DropBefore | What::DropAfter | What::Status(_) => true,
        };
        if !can {
            return None;
        }
        let mut fault = Fault {
            service: asked.service.clone(),
            operation: asked.operation.clone(),
            key: Some(format!("^{}$", regex::escape(&asked.subject))),
            call: Some(number),
            lasting: self.lasting,
            ..Fault::default()
        };
        match self.what {
            What::Delay => fault.delay_ms = Some(150),
            What::Hang => fault.hang = true,
            What::DropBefore => fault.drop = true,
            What::DropAfter => (fault.drop, fault.after) = (true, true),
            What::Status(status) | What::StatusAfter(status) => {
                fault.status = Some(status);
                fault.code = Some(code_of(asked, status).to_owned());
                fault.after = matches!(self.what, What::StatusAfter(_));
            }
            What::Half => fault.half = true,
            What::Malformed => fault.malformed = true,
            What::OtherBytes => fault.other = true,
            What::PageUnnamed => fault.page = Some(Page::Unnamed),
            What::PageLoop => fault.page = Some(Page::Loop),
            What::PageBroken => fault.page = Some(Page::Broken),
            What::PageMiscounted => fault.page = Some(Page::Miscounted),
        }
        Some(fault)
    }

    /// Whether the answer comes whole and in time all the same: then nothing may differ at all.
    pub fn is_harmless(self) -> bool {
        self.what == What::Delay
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Delay => f.write_str("delay"),
            What::Hang => f.write_str("hang"),
            What::DropBefore => f.write_str("drop_before"),
            What::DropAfter => f.write_str("drop_after"),
            What::Status(status) => write!(f, "{status}"),
            What::StatusAfter(status) => write!(f, "{status}_after"),
            What::Half => f.write_str("half_a_body"),
            What::Malformed => f.write_str("malformed"),
            What::OtherBytes => f.write_str("other_bytes"),
            What::PageUnnamed => f.write_str("page_unnamed"),
            What::PageLoop => f.write_str("page_loop"),
            What::PageBroken => f.write_str("page_broken"),
            What::PageMiscounted => f.write_str("page_miscounted"),
        }?;
        f.write_str(if self.lasting { "_lasting" } else { "" })
    }
}

/// The answer that is sure to stop whoever gets it.
pub fn denial() -> Kind {
    Kind { what: What::Status(403), lasting: false }
}

/// One fault on one call of a track's run.
#[derive(Debug, Clone)]
pub struct Case {
    /// `dev_min/17/409_lasting`.
    pub id: String,
    /// The call, from 1.
    pub number: usize,
    pub kind: Kind,
    pub fault: Fault,
}

/// Every fault on every call, and how many cannot happen.
pub fn all(track: &str, calls: &[Call]) -> (Vec<Case>, usize) {
    let mut cases = Vec::new();
    let mut inapplicable = 0;
    for (number, call) in (1..).zip(calls) {
        for kind in Kind::all() {
            match kind.on(number, call) {
                Some(fault) => cases.push(Case { id: format!("{track}/{number}/{kind}"), number, kind, fault }),
                None => inapplicable += 1,
            }
        }
    }
    (cases, inapplicable)
}

/// Whether a case adds to those that are chosen.
type IsNew<'c> = dyn Fn(&[&Case], &Case) -> bool + 'c;

/// The sample of a seed, at most so many: every kind of fault, one fault for each operation of each lane, every kind again, one fault for
/// each call.
pub fn sample(cases: &[Case], calls: &[Call], seed: u64, most: usize) -> Vec<Case> {
    let mut drawn: Vec<&Case> = cases.iter().collect();
    drawn.sort_by_cached_key(|case| Sha256::digest(format!("{seed} {}", case.id)).to_vec());
    let of = |case: &Case| calls.get(case.number - 1).map(|call| (call.lane.as_str(), call.asked.command()));
    let new: [&IsNew; 4] = [
        &|chosen, case| !chosen.iter().any(|other| other.kind == case.kind),
        &|chosen, case| !chosen.iter().any(|other| of(other) == of(case)),
        &|chosen, case| chosen.iter().filter(|other| other.kind == case.kind).count() < 2,
        &|chosen, case| !chosen.iter().any(|other| other.number == case.number),
    ];
    let mut chosen: Vec<&Case> = Vec::new();
    for is_new in new {
        for case in &drawn {
            let again = chosen.iter().any(|other| other.id == case.id);
            if chosen.len() < most && !again && is_new(&chosen, case) {
                chosen.push(case);
            }
        }
    }
    chosen.sort_by_key(|case| (case.number, case.kind));
    chosen.into_iter().cloned().collect()
}
