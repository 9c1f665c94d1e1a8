//! Starting what does not run yet; nothing is stopped, and nothing is deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::evidence::digest::sha256_hex;
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::outcome::Mode;
use support::substrate::NewService;
use support::substrate::reply::CallErrorKind;

use crate::m4::dev_min::deployed::Deployed;

/// What was done, by service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Started {
    /// The cluster.
    pub cluster: String,
    /// Whether it can take services.
    pub cluster_active: bool,
    /// By the service's handle, in the order of the packs as far as it came.
    pub services: BTreeMap<String, Start>,
    /// The pack at which it ended, since it did not become steady.
    pub ended_at: Option<String>,
    /// The code that says why it broke off before it had looked, where it did.
    #[serde(default)]
    pub broken_off: Option<String>,
    /// The code that says why.
    pub unsteady_code: Option<String>,
}

/// What was done with one service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Start {
    /// Its name.
    pub name: String,
    /// What was done.
    pub did: Did,
    /// Why it was not.
    pub refused: Option<String>,
}

/// What was done with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Did {
    /// It was desired once already, or starting it was refused.
    Nothing,
    /// It was asked for, and no answer came: it may have been started.
    Asked,
    /// Its desired count was set.
    Updated,
    /// It was made.
    Created,
}

impl Started {
    pub(super) fn new(deployed: &Deployed) -> Self {
        Self {
            cluster: deployed.cluster.clone(),
            cluster_active: deployed.cluster_status.as_deref() == Some("ACTIVE"),
            services: BTreeMap::new(),
            ended_at: None,
            broken_off: None,
            unsteady_code: None,
        }
    }
}

/// Starts the services of one pack; says whether none of them was refused.
pub(super) fn pack(
    run: &mut LaneRun<'_>,
    deployed: &Deployed,
    services: &[(&'static str, String)],
    started: &mut Started,
) -> Result<bool, Stop> {
    for (handle, name) in services {
        let start = service(run, deployed, handle, name)?;
        let refused = start.refused.is_some();
        started.services.insert((*handle).to_owned(), start);
        if refused {
            return Ok(false);
        }
    }
    Ok(true)
}

fn service(run: &mut LaneRun<'_>, deployed: &Deployed, handle: &str, name: &str) -> Result<Start, Stop> {
    let start = |did: Did, refused: Option<String>| Start { name: name.to_owned(), did, refused };
    let of = deployed.services.get(handle);
    let info = of.and_then(|service| service.info.as_ref()).filter(|info| info.status == "ACTIVE");
    if info.is_some_and(|info| info.desired == 1) {
        return Ok(start(Did::Nothing, None));
    }
    if run.mode() == Mode::Preflight {
        let why = "a preflight starts nothing; let the run commit";
        return Ok(start(Did::Nothing, Some(why.to_owned())));
    }
    // More than one copy is not reduced here: to stop a task is not this gate's to do.
    if let Some(info) = info.filter(|info| info.desired > 1) {
        let why = format!("{} copies of it are desired; set it to 1 by Terraform", info.desired);
        return Ok(start(Did::Nothing, Some(why)));
    }
    let definition = match deployed.definition(handle) {
        Ok(definition) => definition.arn.clone(),
        Err(why) => return Ok(start(Did::Nothing, Some(why))),
    };
    let ecs = run.world()?.substrate.ecs();
    let (did, answer) = match info {
        Some(_) => (Did::Updated, ecs.update_service(&deployed.cluster, name, 1, None)),
        None => {
            let handle = run.handle("SUBNET_IDS_PUBLIC")?;
            let subnets = handle.texts().map_err(|error| Stop::Fault(error.to_string()))?;
            let subnets: Vec<String> = subnets.into_iter().map(str::to_owned).collect();
            let group = run.text("SECURITY_GROUP_ID_APP")?;
            let token = sha256_hex(format!("{}/{name}", run.phase_execution_id()).as_bytes());
            let new = NewService {
                cluster: &deployed.cluster,
                name,
                task_definition: &definition,
                desired: 1,
                subnets: &subnets,
                security_groups: std::slice::from_ref(&group),
                // The subnets are public and there is no NAT: without an address of its own a task reaches nothing.
                assign_public_ip: true,
                token: token.get(..32).unwrap_or(&token),
            };
            (Did::Created, run.world()?.substrate.ecs().create_service(&new))
        }
    };
    Ok(match answer {
        Ok(_) => start(did, None),
        Err(error) => {
            let answered = matches!(
                error.kind,
                CallErrorKind::Denied
                    | CallErrorKind::Refused
                    | CallErrorKind::NotFound
                    | CallErrorKind::Unsupported
                    | CallErrorKind::Throttled
            );
            start(if answered { Did::Nothing } else { Did::Asked }, Some(error.to_string()))
        }
    })
}
