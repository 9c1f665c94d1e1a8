//! What P2 runs: five packs of thirteen daemons, in the order in which they are started (M4.B, section 2 of the plan).

/// The packs, in order, each with the handles of its services in order.
pub(super) const PACKS: [(&str, &[&str]); 5] = [
    ("control_ingress", &["SVC_IG"]),
    ("rtdl_core", &["SVC_RTDL_CORE_ARCHIVE_WRITER", "SVC_RTDL_CORE_IEG", "SVC_RTDL_CORE_OFP", "SVC_RTDL_CORE_CSFB"]),
    (
        "rtdl_decision_lane",
        &["SVC_DECISION_LANE_DL", "SVC_DECISION_LANE_DF", "SVC_DECISION_LANE_AL", "SVC_DECISION_LANE_DLA"],
    ),
    ("case_labels", &["SVC_CASE_TRIGGER", "SVC_CM", "SVC_LS"]),
    ("obs_gov", &["SVC_ENV_CONFORMANCE"]),
];

/// How the handles of one-shot tasks begin; none of them is a daemon.
pub(super) const TASK: &str = "TD_";

/// How the handles of services begin.
pub(super) const SERVICE: &str = "SVC_";

/// So many of each daemon run in v0.
pub(super) const SINGLETON: u64 = 1;

/// All services, in the order of their packs.
pub(super) fn services() -> impl Iterator<Item = &'static str> {
    PACKS.iter().flat_map(|(_, services)| services.iter().copied())
}
