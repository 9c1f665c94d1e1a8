//! The network that daemons are started in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;
use support::substrate::{NatGateway, ServiceInfo, SubnetInfo};

use crate::m4::dev_min::deployed::Deployed;

/// The VPC and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Posture {
    vpc: String,
    vpc_there: bool,
    /// By id, as the handle lists them; none where there is no such subnet.
    subnets: BTreeMap<String, Option<SubnetInfo>>,
    security_group: String,
    /// Its VPC; none where there is no such group.
    security_group_vpc: Option<String>,
    /// All NAT gateways of the account and region.
    nat_gateways: Vec<NatGateway>,
    /// Whether the list of them is whole.
    complete: bool,
}

impl Posture {
    /// Whether a service is where the plan has it, and why not.
    fn takes(&self, info: &ServiceInfo) -> Result<(), String> {
        if info.launch_type.as_deref() == Some("EXTERNAL") {
            return Err("runs on machines outside of AWS (launch type EXTERNAL)".to_owned());
        }
        if info.scheduling.as_deref() == Some("DAEMON") {
            return Err("is scheduled once on each machine (DAEMON), and not once".to_owned());
        }
        if let Some(subnet) = info.subnets.iter().find(|subnet| !self.subnets.contains_key(*subnet)) {
            return Err(format!("is in subnet {subnet}, which SUBNET_IDS_PUBLIC does not list"));
        }
        if info.subnets.is_empty() {
            return Err("is in no subnet".to_owned());
        }
        if info.security_groups != [self.security_group.clone()] {
            let groups = info.security_groups.join(", ");
            return Err(format!(
                "has the security groups {groups}, and SECURITY_GROUP_ID_APP is {}",
                self.security_group
            ));
        }
        // Without NAT a task without an address of its own reaches nothing.
        if info.assign_public_ip.as_deref() != Some("ENABLED") {
            return Err("gets no public address, and there is no NAT".to_owned());
        }
        Ok(())
    }

    pub(super) fn summary(&self) -> Value {
        json!({
            "vpc_id": self.vpc,
            "subnet_ids": self.subnets.keys().collect::<Vec<_>>(),
            "security_group_id": self.security_group,
            "nat_gateways": self.nat_gateways.len(),
        })
    }
}

pub(super) static POSTURE: Check<(Posture, Deployed)> = Check::<(Posture, Deployed)>::new(
    "network.posture",
    "M4D-B2",
    &["posture", "M4.C/deployed"],
    |(posture, deployed)| {
        ensure!(posture.vpc_there, "VPC_ID is {}, and there is no such VPC", posture.vpc);
        ensure!(!posture.subnets.is_empty(), "SUBNET_IDS_PUBLIC lists no subnet");
        for (id, subnet) in &posture.subnets {
            let Some(subnet) = subnet else {
                return Err(Unmet::from(format!("SUBNET_IDS_PUBLIC lists {id}, and there is no such subnet")));
            };
            ensure!(subnet.vpc == posture.vpc, "subnet {id} is of {}, and VPC_ID is {}", subnet.vpc, posture.vpc);
        }
        match &posture.security_group_vpc {
            None => return Err(Unmet::from(format!("there is no security group {}", posture.security_group))),
            Some(vpc) => ensure!(
                *vpc == posture.vpc,
                "security group {} is of {vpc}, and VPC_ID is {}",
                posture.security_group,
                posture.vpc
            ),
        }
        ensure!(posture.complete, "the list of NAT gateways is not complete");
        for gateway in posture.nat_gateways.iter().filter(|gateway| gateway.state.as_deref() != Some("deleted")) {
            match gateway.vpc.as_deref() {
                Some(vpc) if vpc == posture.vpc => {
                    return Err(Unmet::from(format!("{} has the NAT gateway {}", posture.vpc, gateway.id)));
                }
                Some(_) => {}
                None => {
                    let why = format!("of which VPC the NAT gateway {} is, nobody says: it may be {}", gateway.id, posture.vpc);
                    return Err(Unmet::from(why));
                }
            }
        }
        for (handle, service) in &deployed.services {
            let Some(info) = &service.info else { continue };
            posture.takes(info).map_err(|why| Unmet::from(format!("{handle}: {} {why}", service.name)))?;
        }
        Ok(format!("{} with {} subnets and its security group, no NAT gateway", posture.vpc, posture.subnets.len()))
    },
    |(posture, _)| {
        let vpc = Some(posture.vpc.clone());
        posture.nat_gateways.push(NatGateway { id: "nat-doctored".to_owned(), vpc, subnet: None, state: None });
    },
)
.next("take the NAT gateway away, it costs by the hour and the plan has none; or correct VPC_ID, SUBNET_IDS_PUBLIC and SECURITY_GROUP_ID_APP in M2's handoff");

pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let vpc = run.text("VPC_ID")?;
    let security_group = run.text("SECURITY_GROUP_ID_APP")?;
    let resolved = run.handle("SUBNET_IDS_PUBLIC")?;
    let ids: Vec<String> =
        resolved.texts().map_err(|error| Stop::Fault(error.to_string()))?.into_iter().map(str::to_owned).collect();
    let found = run.world()?.substrate.network().vpc(&vpc).map(|reply| reply.value);
    let vpc_there = there(run, found, "AWS::EC2::VPC", &vpc)?;
    let group = run.world()?.substrate.network().security_group(&security_group).map(|reply| reply.value);
    let group = there(run, group, "AWS::EC2::SecurityGroup", &security_group)?;
    let mut subnets = BTreeMap::new();
    for id in ids {
        let subnet = run.world()?.substrate.network().subnet(&id).map(|reply| reply.value);
        subnets.insert(id.clone(), there(run, subnet, "AWS::EC2::Subnet", &id)?);
    }
    let call = "aws cloudcontrol list-resources --type-name AWS::EC2::NatGateway";
    let gateways = match run.world()?.substrate.network().nat_gateways() {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("posture", call, error)),
    };
    let mut gateways = gateways;
    for gateway in gateways.entries.iter_mut().filter(|gateway| gateway.vpc.is_none()) {
        let Some(id) = gateway.subnet.clone() else { continue };
        let subnet = run.world()?.substrate.network().subnet(&id).map(|reply| reply.value);
        gateway.vpc = there(run, subnet, "AWS::EC2::Subnet", &id)?.map(|subnet| subnet.vpc);
    }
    let posture = Posture {
        vpc,
        vpc_there: vpc_there.is_some(),
        subnets,
        security_group,
        // A group without a VPC is of none that is known.
        security_group_vpc: group.map(|group| group.vpc.unwrap_or_else(|| "no VPC that it names".to_owned())),
        nat_gateways: gateways.entries,
        complete: gateways.complete,
    };
    run.observe("posture", &format!("{call}; get-resource of VPC, subnets and security group"), &posture)
}

fn there<T>(
    run: &mut LaneRun<'_>,
    reply: Result<T, support::substrate::reply::CallError>,
    kind: &str,
    id: &str,
) -> Result<Option<T>, Stop> {
    match reply {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
        Err(error) => {
            let call = format!("aws cloudcontrol get-resource --type-name {kind} --identifier {id}");
            Err(run.unanswered("posture", &call, error))
        }
    }
}
