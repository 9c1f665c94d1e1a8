//! Reading networks, through Cloud Control.

use std::sync::Arc;

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::link::{Call, Link};
use super::reply::{CallError, CallErrorKind, Reply};
use super::s3::Listing;
use super::walk::Walk;

const NAT_GATEWAY: &str = "AWS::EC2::NatGateway";
const SUBNET: &str = "AWS::EC2::Subnet";
const SECURITY_GROUP: &str = "AWS::EC2::SecurityGroup";
const VPC: &str = "AWS::EC2::VPC";

/// A NAT gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// Its id.
    pub id: String,
    /// Its VPC, where the server says it.
    pub vpc: Option<String>,
    /// Its subnet, where the server says it.
    pub subnet: Option<String>,
    /// Its state, where the server says it; the type that Cloud Control documents has none. One
    /// that is listed and can be read is not deleted.
    pub state: Option<String>,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetInfo {
    /// Its id.
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Its availability zone, where the server says it.
    pub zone: Option<String>,
    /// Whether what is started in it gets a public address, where the server says it.
    pub maps_public_ip: Option<bool>,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupInfo {
    /// Its id.
    pub id: String,
    /// Its VPC, where the server says it.
    pub vpc: Option<String>,
}

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcInfo {
    /// Its id.
    pub id: String,
}

/// Networks, for reading.
#[derive(Debug)]
pub struct Network {
    client: aws_sdk_cloudcontrol::Client,
    link: Arc<Link>,
}

impl Network {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_cloudcontrol::Client::new(config), link }
    }

    /// All NAT gateways; every page is walked, and each one is read where the list says little of
    /// it. One that is gone by then is left out.
    ///
    /// # Errors
    /// `Malformed` when a page contradicts itself; see [`CallErrorKind`] for the others.
    pub fn nat_gateways(&self) -> Result<Reply<Listing<NatGateway>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("cloudcontrol", "list-resources", NAT_GATEWAY);
            let request = self.client.list_resources().type_name(NAT_GATEWAY).set_next_token(walk.token()).customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            let mut attempts = page.attempts;
            for listed in page.value.resource_descriptions.unwrap_or_default() {
                let id = call.required("Identifier", listed.identifier)?;
                let mut found = properties(&call, listed.properties.as_deref().unwrap_or("{}"))?;
                if found["SubnetId"].is_null() || found["VpcId"].is_null() {
                    match self.resource(NAT_GATEWAY, &id) {
                        Ok(read) => {
                            attempts = attempts.saturating_add(read.attempts);
                            found = read.value;
                        }
                        Err(error) if error.kind == CallErrorKind::NotFound => continue,
                        Err(error) => return Err(error),
                    }
                }
                let text = |name: &str| found[name].as_str().map(str::to_owned);
                walk.push(NatGateway { vpc: text("VpcId"), subnet: text("SubnetId"), state: text("State"), id });
            }
            if walk.is_over(&call, attempts, page.value.next_token)? {
                return Ok(walk.reply(&call));
            }
        }
    }

    /// The subnet of this id.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn subnet(&self, id: &str) -> Result<Reply<SubnetInfo>, CallError> {
        let reply = self.resource(SUBNET, id)?;
        let found = &reply.value;
        let Some(vpc) = found["VpcId"].as_str() else {
            return Err(self.link.call("cloudcontrol", "get-resource", id).malformed("the answer has no VpcId"));
        };
        let info = SubnetInfo {
            id: id.to_owned(),
            vpc: vpc.to_owned(),
            zone: found["AvailabilityZone"].as_str().map(str::to_owned),
            maps_public_ip: found["MapPublicIpOnLaunch"].as_bool(),
        };
        Ok(Reply { value: info, request_id: reply.request_id, attempts: reply.attempts })
    }

    /// The security group of this id.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn security_group(&self, id: &str) -> Result<Reply<SecurityGroupInfo>, CallError> {
        let reply = self.resource(SECURITY_GROUP, id)?;
        let info = SecurityGroupInfo { id: id.to_owned(), vpc: reply.value["VpcId"].as_str().map(str::to_owned) };
        Ok(Reply { value: info, request_id: reply.request_id, attempts: reply.attempts })
    }

    /// The VPC of this id.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn vpc(&self, id: &str) -> Result<Reply<VpcInfo>, CallError> {
        let reply = self.resource(VPC, id)?;
        Ok(Reply { value: VpcInfo { id: id.to_owned() }, request_id: reply.request_id, attempts: reply.attempts })
    }

    /// The properties of one resource.
    fn resource(&self, kind: &str, id: &str) -> Result<Reply<Value>, CallError> {
        let call = self.link.call("cloudcontrol", "get-resource", format!("{kind} {id}"));
        let request = self.client.get_resource().type_name(kind).identifier(id).customize();
        let reply = call.send(request.interceptor(call.probe()).send()).map_err(told_missing)?;
        let found = call.required("ResourceDescription", reply.value.resource_description)?;
        let is = call.required("Identifier", found.identifier)?;
        if is != id {
            return Err(call.malformed(format!("`{is}` came")));
        }
        let found = properties(&call, &call.required("Properties", found.properties)?)?;
        Ok(call.reply(found))
    }
}

fn properties(call: &Call<'_>, text: &str) -> Result<Value, CallError> {
    let found: Value =
        serde_json::from_str(text).map_err(|error| call.malformed(format!("Properties are no JSON: {error}")))?;
    if found.is_object() { Ok(found) } else { Err(call.malformed("Properties are no JSON object")) }
}

/// What a resource's own service says of a missing one comes in a general error.
fn told_missing(mut error: CallError) -> CallError {
    let general = error.message.starts_with("GeneralServiceException");
    let says = ["does not exist", "NotFound", "not found"].iter().any(|words| error.message.contains(words));
    if general && says {
        error.kind = CallErrorKind::NotFound;
    }
    error
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::told_missing;
    use crate::substrate::reply::{CallError, CallErrorKind};

    #[rstest]
    #[case("GeneralServiceException: The subnet ID 'subnet-1' does not exist", CallErrorKind::NotFound)]
    #[case("GeneralServiceException: InvalidSubnetID.NotFound", CallErrorKind::NotFound)]
    #[case("GeneralServiceException: internal failure", CallErrorKind::Refused)]
    #[case("InvalidRequestException: that type does not exist", CallErrorKind::Refused)]
    fn a_general_error_may_say_that_a_thing_is_missing(#[case] message: &str, #[case] kind: CallErrorKind) {
        let error = CallError {
            kind: CallErrorKind::Refused,
            service: "cloudcontrol".to_owned(),
            operation: "get-resource".to_owned(),
            target: "subnet-1".to_owned(),
            status: Some(400),
            request_id: None,
            message: message.to_owned(),
            attempts: 1,
        };
        assert_eq!(told_missing(error).kind, kind);
    }
}
