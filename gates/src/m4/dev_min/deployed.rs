//! What ECS has of the thirteen services: each with its state and the task definition that it starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;
use support::substrate::{ServiceInfo, TaskDefinition};

use super::b_service_map;

/// The cluster and its services.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Deployed {
    /// The cluster's name.
    pub cluster: String,
    /// Its status; none where ECS has no such cluster.
    pub cluster_status: Option<String>,
    /// By the service's handle.
    pub services: BTreeMap<String, Service>,
}

/// One service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Service {
    /// Its name.
    pub name: String,
    /// Its state; none where ECS has no such service.
    pub info: Option<ServiceInfo>,
    /// The task definition that it starts, or would start: one of a family of its own name.
    pub definition: Option<TaskDefinition>,
}

impl Deployed {
    /// The task definition of a service, by the service's handle.
    pub(super) fn definition(&self, handle: &str) -> Result<&TaskDefinition, String> {
        let service = self.services.get(handle).ok_or_else(|| format!("{handle} was not looked up"))?;
        service
            .definition
            .as_ref()
            .ok_or_else(|| format!("{handle}: ECS has no task definition of service {}", service.name))
    }
}

/// Asks ECS; ten services by one request.
pub(super) fn observe(run: &mut LaneRun<'_>, name: &str) -> Step {
    let deployed = look_up(run, name)?;
    run.observe(name, "aws ecs describe-clusters, describe-services, describe-task-definition", &deployed)
}

fn look_up(run: &mut LaneRun<'_>, observation: &str) -> Result<Deployed, Stop> {
    let mapped = b_service_map::mapped(run)?;
    let cluster = run.text("ECS_CLUSTER_NAME")?;
    let mut deployed = Deployed { cluster: cluster.clone(), cluster_status: None, services: BTreeMap::new() };
    let ecs = run.world()?.substrate.ecs();
    deployed.cluster_status = match ecs.describe_cluster(&cluster) {
        Ok(reply) => Some(reply.value.status),
        Err(error) if error.kind == CallErrorKind::NotFound => None,
        Err(error) => {
            return Err(run.unanswered(observation, &format!("aws ecs describe-clusters --clusters {cluster}"), error));
        }
    };
    let names: Vec<&str> = mapped.iter().map(|(_, _, name)| name.as_str()).collect();
    let states = match deployed.cluster_status {
        None => Vec::new(),
        Some(_) => match run.world()?.substrate.ecs().describe_services(&cluster, &names) {
            Ok(reply) => reply.value,
            Err(error) => {
                let call = format!("aws ecs describe-services --cluster {cluster} --services {}", names.join(" "));
                return Err(run.unanswered(observation, &call, error));
            }
        },
    };
    for (_, handle, name) in &mapped {
        // One that was deleted is described for a while.
        let info = states.iter().find(|state| state.name == *name).and_then(|state| state.info.clone());
        let info = info.filter(|info| info.status != "INACTIVE");
        let wanted = info.as_ref().map_or(name.as_str(), |info| info.task_definition.as_str()).to_owned();
        let definition = match run.world()?.substrate.ecs().describe_task_definition(&wanted) {
            Ok(reply) => Some(reply.value),
            Err(error) if error.kind == CallErrorKind::NotFound => None,
            Err(error) => {
                let call = format!("aws ecs describe-task-definition --task-definition {wanted}");
                return Err(run.unanswered(observation, &call, error));
            }
        };
        deployed.services.insert((*handle).to_owned(), Service { name: name.clone(), info, definition });
    }
    Ok(deployed)
}
