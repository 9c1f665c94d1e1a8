//! Containers, their logs and their network.

use std::collections::BTreeSet;

use super::SeedError;
use super::apply::{Seeder, differs};
use super::forms::Form;
use super::world::World;
use crate::substrate::embedded::fleet::{Declared, Furnished};
use crate::substrate::reply::CallErrorKind;

/// What `form` declares of these things, or why it cannot be made.
pub(super) fn declared(form: &Form) -> Result<Declared, String> {
    let declared = Declared {
        clusters: form.clusters.clone(),
        definitions: form.task_definitions.clone(),
        services: form.services.clone(),
        stray_tasks: form.stray_tasks.clone(),
        log_groups: form.log_groups.clone(),
        log_events: form.log_events.clone(),
        vpcs: form.vpcs.clone(),
        subnets: form.subnets.clone(),
        security_groups: form.security_groups.clone(),
        nat_gateways: form.nat_gateways.clone(),
    };
    each_once(&declared)?;
    containers(&declared)?;
    references(&declared)?;
    Ok(declared)
}

fn each_once(declared: &Declared) -> Result<(), String> {
    let services = declared.services.iter().map(|service| ("service", format!("{}/{}", service.cluster, service.name)));
    let names = (declared.clusters.iter().map(|cluster| ("cluster", cluster.name.clone())))
        .chain(declared.definitions.iter().map(|definition| ("task_definition", definition.name())))
        .chain(services)
        .chain(declared.log_groups.iter().map(|group| ("log_group", group.name.clone())))
        .chain(declared.vpcs.iter().map(|vpc| ("vpc", vpc.id.clone())))
        .chain(declared.subnets.iter().map(|subnet| ("subnet", subnet.id.clone())))
        .chain(declared.security_groups.iter().map(|group| ("security_group", group.id.clone())))
        .chain(declared.nat_gateways.iter().map(|gateway| ("nat_gateway", gateway.id.clone())));
    let mut seen = BTreeSet::new();
    for (kind, name) in names {
        if !seen.insert((kind, name.clone())) {
            return Err(format!("[[{kind}]] `{name}` is there twice"));
        }
    }
    Ok(())
}

fn containers(declared: &Declared) -> Result<(), String> {
    for definition in &declared.definitions {
        let name = definition.name();
        if definition.revision < 1 {
            return Err(format!("[[task_definition]] `{name}`: revision is 1 or more"));
        }
        if definition.containers.is_empty() {
            return Err(format!("[[task_definition]] `{name}` needs a [[task_definition.container]]"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = definition.containers.iter().find(|container| !seen.insert(&container.name)) {
            return Err(format!("[[task_definition]] `{name}` has container `{}` twice", twice.name));
        }
    }
    Ok(())
}

/// Every name that something refers to must be in the world too, but for what a fault may lack: the
/// roles, log groups, subnets and security groups of tasks.
fn references(declared: &Declared) -> Result<(), String> {
    let clusters = (declared.services.iter().map(|service| &service.cluster))
        .chain(declared.stray_tasks.iter().map(|task| &task.cluster));
    for name in clusters {
        if !declared.clusters.iter().any(|cluster| cluster.name == *name) {
            return Err(format!("there is no [[cluster]] named `{name}`"));
        }
    }
    let definitions = (declared.services.iter().map(|service| &service.task_definition))
        .chain(declared.stray_tasks.iter().map(|task| &task.family));
    for name in definitions {
        if !declared.definitions.iter().any(|definition| definition.family == *name || definition.name() == *name) {
            return Err(format!("there is no [[task_definition]] named `{name}`"));
        }
    }
    for event in &declared.log_events {
        if !declared.log_groups.iter().any(|group| group.name == event.group) {
            return Err(format!("there is no [[log_group]] named `{}`", event.group));
        }
    }
    let vpcs = (declared.subnets.iter().map(|subnet| &subnet.vpc))
        .chain(declared.security_groups.iter().map(|group| &group.vpc))
        .chain(declared.nat_gateways.iter().filter_map(|gateway| gateway.vpc.as_ref()));
    for id in vpcs {
        if !declared.vpcs.iter().any(|vpc| vpc.id == *id) {
            return Err(format!("there is no [[vpc]] with id `{id}`"));
        }
    }
    for gateway in &declared.nat_gateways {
        if !declared.subnets.iter().any(|subnet| subnet.id == gateway.subnet) {
            return Err(format!("there is no [[subnet]] with id `{}`", gateway.subnet));
        }
    }
    Ok(())
}

impl Seeder<'_> {
    /// Gives the world its containers, logs and network, after the images that they are made from.
    pub(super) fn fleet(&mut self, world: &World) -> Result<(), SeedError> {
        let count = world.fleet.count();
        if count == 0 {
            return Ok(());
        }
        let Some(embedded) = &self.substrate.world else {
            return match self.daemons(world) {
                Err(SeedError::Call(error)) if error.kind == CallErrorKind::Unsupported => {
                    let why = format!("{count} thing(s) of ECS, CloudWatch Logs and networks: {error}");
                    self.seeded.left_out.push(why);
                    Ok(())
                }
                done => done,
            };
        };
        match embedded.furnish(world.region(), &world.fleet)? {
            Furnished::Made => self.seeded.made += count,
            Furnished::There => self.seeded.kept += count,
            Furnished::Differs => return Err(differs("what the world has of ECS, logs and networks".to_owned())),
        }
        Ok(())
    }
}
