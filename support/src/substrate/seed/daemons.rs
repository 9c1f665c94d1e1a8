//! Clusters, task definitions, services, log groups and networks on a server of its own, by AWS's calls.

use aws_sdk_ecs::error::BuildError;
use aws_sdk_ecs::types as ecs;
use serde_json::{Value, json};

use super::SeedError;
use super::apply::{Seeder, differs, refused_value};
use super::world::World;
use crate::substrate::embedded::fleet::{Behaviour, Container, Definition, Service, ServiceStatus};
use crate::substrate::reply::{CallError, CallErrorKind};

impl Seeder<'_> {
    /// Makes what the world has of containers, as far as calls of AWS can; says of the rest why not.
    pub(super) fn daemons(&mut self, world: &World) -> Result<(), SeedError> {
        let fleet = &world.fleet;
        for group in &fleet.log_groups {
            self.log_group(&group.name)?;
        }
        for cluster in &fleet.clusters {
            self.cluster(&cluster.name)?;
        }
        let mut definitions: Vec<&Definition> = fleet.definitions.iter().collect();
        // A server counts revisions itself.
        definitions.sort_by_key(|definition| (&definition.family, definition.revision));
        for definition in definitions {
            self.task_definition(definition, world.account())?;
        }
        for service in &fleet.services {
            if can_be_asked_for(service) {
                self.service(service)?;
            } else {
                self.leave_out(
                    format!("[[service]] `{}`", service.name),
                    "how a service does is not asked for by a call",
                );
            }
        }
        for (count, what) in [(fleet.stray_tasks.len(), "stray_task"), (fleet.log_events.len(), "log_event")] {
            if count > 0 {
                self.leave_out(format!("{count} [[{what}]]"), "nobody but who has it could make it as the world says");
            }
        }
        self.network(world)
    }

    fn leave_out(&mut self, what: String, why: &str) {
        self.seeded.left_out.push(format!("{what}: {why}"));
    }

    fn log_group(&mut self, name: &str) -> Result<(), SeedError> {
        let there = self.substrate.logs().log_groups(name)?.value.entries.iter().any(|group| group.name == name);
        if there {
            self.seeded.kept += 1;
            return Ok(());
        }
        let call = self.link.call("logs", "create-log-group", name);
        let request = self.logs.create_log_group().log_group_name(name).customize();
        call.send(request.interceptor(call.probe()).send())?;
        self.seeded.made += 1;
        Ok(())
    }

    fn cluster(&mut self, name: &str) -> Result<(), SeedError> {
        if self.is_there(self.substrate.ecs().describe_cluster(name))? {
            return Ok(());
        }
        let call = self.link.call("ecs", "create-cluster", name);
        let request = self.ecs.create_cluster().cluster_name(name).customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    fn task_definition(&mut self, definition: &Definition, account: &str) -> Result<(), SeedError> {
        let name = definition.name();
        if self.is_there(self.substrate.ecs().describe_task_definition(&name))? {
            return Ok(());
        }
        let role = |name: &Option<String>| {
            let arn = |name: &String| match name.starts_with("arn:") {
                true => name.clone(),
                false => format!("arn:aws:iam::{account}:role/{name}"),
            };
            name.as_ref().map(arn)
        };
        let containers = definition.containers.iter().map(container).collect::<Result<Vec<_>, _>>();
        let containers = containers.map_err(|error| refused_value(&name, &error))?;
        let call = self.link.call("ecs", "register-task-definition", &name);
        let request = self
            .ecs
            .register_task_definition()
            .family(&definition.family)
            .set_task_role_arn(role(&definition.task_role))
            .set_execution_role_arn(role(&definition.execution_role))
            .set_cpu(definition.cpu.clone())
            .set_memory(definition.memory.clone())
            .set_container_definitions(Some(containers))
            .customize();
        let made = call.send(request.interceptor(call.probe()).send())?.value.task_definition;
        match made.map(|made| made.revision) {
            Some(revision) if revision == definition.revision => Ok(()),
            _ => Err(differs(format!("task definition {name}"))),
        }
    }

    fn service(&mut self, service: &Service) -> Result<(), SeedError> {
        let states = self.substrate.ecs().describe_services(&service.cluster, &[&service.name])?.value;
        if states.iter().any(|state| state.info.as_ref().is_some_and(|info| info.status == "ACTIVE")) {
            self.seeded.kept += 1;
            return Ok(());
        }
        let public =
            if service.assign_public_ip { ecs::AssignPublicIp::Enabled } else { ecs::AssignPublicIp::Disabled };
        let network = ecs::AwsVpcConfiguration::builder()
            .set_subnets(Some(service.subnets.clone()))
            .set_security_groups(Some(service.security_groups.clone()))
            .assign_public_ip(public)
            .build()
            .map_err(|error| refused_value(&service.name, &error))?;
        let desired = i32::try_from(service.desired).map_err(|_| SeedError::Value {
            what: service.name.clone(),
            message: format!("{} tasks are more than ECS counts", service.desired),
        })?;
        let call = self.link.call("ecs", "create-service", format!("{}/{}", service.cluster, service.name));
        let request = self
            .ecs
            .create_service()
            .cluster(&service.cluster)
            .service_name(&service.name)
            .task_definition(&service.task_definition)
            .desired_count(desired)
            .launch_type(ecs::LaunchType::Fargate)
            .network_configuration(ecs::NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        self.seeded.made += 1;
        Ok(())
    }

    /// By Cloud Control; a server that gives things ids of its own cannot have those of the world.
    fn network(&mut self, world: &World) -> Result<(), SeedError> {
        let fleet = &world.fleet;
        let mut things: Vec<(&str, &str, Value)> = Vec::new();
        for vpc in &fleet.vpcs {
            things.push(("AWS::EC2::VPC", &vpc.id, json!({ "VpcId": vpc.id })));
        }
        for subnet in &fleet.subnets {
            let zone = json!({ "VpcId": subnet.vpc, "SubnetId": subnet.id, "AvailabilityZone": subnet.zone,
                "MapPublicIpOnLaunch": subnet.maps_public_ip });
            things.push(("AWS::EC2::Subnet", &subnet.id, zone));
        }
        for group in &fleet.security_groups {
            things.push(("AWS::EC2::SecurityGroup", &group.id, json!({ "VpcId": group.vpc, "GroupId": group.id })));
        }
        for gateway in &fleet.nat_gateways {
            let of = json!({ "NatGatewayId": gateway.id, "VpcId": gateway.vpc, "SubnetId": gateway.subnet,
                "State": gateway.state });
            things.push(("AWS::EC2::NatGateway", &gateway.id, of));
        }
        for (kind, id, properties) in things {
            if let Some(why) = self.resource(kind, id, properties)? {
                self.leave_out(format!("{kind} {id}"), &why);
            }
        }
        Ok(())
    }

    /// Makes one thing; says why it cannot be made here.
    fn resource(&mut self, kind: &str, id: &str, mut properties: Value) -> Result<Option<String>, SeedError> {
        let found = |seeder: &Self| -> Result<bool, CallError> {
            let call = seeder.link.call("cloudcontrol", "get-resource", format!("{kind} {id}"));
            let request = seeder.cloudcontrol.get_resource().type_name(kind).identifier(id).customize();
            match call.send(request.interceptor(call.probe()).send()) {
                Ok(reply) => {
                    let is = reply.value.resource_description.and_then(|found| found.identifier);
                    Ok(is.as_deref() == Some(id))
                }
                Err(error) if error.kind == CallErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        match found(self) {
            Ok(true) => {
                self.seeded.kept += 1;
                return Ok(None);
            }
            Ok(false) => {}
            Err(error) if error.kind == CallErrorKind::Unsupported => return Ok(Some(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        if let Some(members) = properties.as_object_mut() {
            // What MiniStack takes for the name of a thing; AWS itself is never seeded.
            members.insert("Id".to_owned(), Value::from(id));
            members.retain(|_, value| !value.is_null());
        }
        let call = self.link.call("cloudcontrol", "create-resource", format!("{kind} {id}"));
        let request =
            self.cloudcontrol.create_resource().type_name(kind).desired_state(properties.to_string()).customize();
        call.send(request.interceptor(call.probe()).send())?;
        if found(self)? {
            self.seeded.made += 1;
            return Ok(None);
        }
        Ok(Some("the server gives it an id of its own".to_owned()))
    }
}

/// Whether a service is what a server makes of a request, and not one that does as the world says.
fn can_be_asked_for(service: &Service) -> bool {
    service.behaviour == Behaviour::Steady
        && service.status == ServiceStatus::Active
        && service.starts_after.is_none()
        && service.log.is_none()
}

fn container(container: &Container) -> Result<ecs::ContainerDefinition, BuildError> {
    let environment = container.environment.iter();
    let environment = environment.map(|(name, value)| ecs::KeyValuePair::builder().name(name).value(value).build());
    let secrets = container.secrets.iter();
    let secrets = secrets.map(|(name, from)| ecs::Secret::builder().name(name).value_from(from).build());
    let files = container.environment_files.iter();
    let files =
        files.map(|file| ecs::EnvironmentFile::builder().r#type(ecs::EnvironmentFileType::S3).value(file).build());
    let log = container.log_group.as_ref().map(|group| {
        ecs::LogConfiguration::builder()
            .log_driver(ecs::LogDriver::Awslogs)
            .options("awslogs-group", group)
            .options("awslogs-stream-prefix", &container.log_stream_prefix)
            .build()
    });
    let check = container.health_check.as_ref();
    let check = check.map(|command| ecs::HealthCheck::builder().set_command(Some(command.clone())).build());
    Ok(ecs::ContainerDefinition::builder()
        .name(&container.name)
        .image(&container.image)
        .essential(container.essential)
        .set_command(Some(container.command.clone()))
        .set_entry_point(Some(container.entrypoint.clone()))
        .set_environment(Some(environment.collect()))
        .set_secrets(Some(secrets.collect::<Result<_, _>>()?))
        .set_environment_files(Some(files.collect::<Result<_, _>>()?))
        .set_health_check(check.transpose()?)
        .set_log_configuration(log.transpose()?)
        .build())
}
