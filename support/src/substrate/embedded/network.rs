//! Cloud Control of the embedded world, for reading networks. What it tells of is in
//! [`super::fleet`]. As in AWS, a list names things, and only a thing's own answer describes it.

use serde_json::{Value, json};

use super::fleet::Fleet;
use super::holes::paged;
use super::services::{Answer, only};

/// The operations that are answered here.
pub(super) const OPERATIONS: [&str; 2] = ["GetResource", "ListResources"];

/// Answers one of [`OPERATIONS`].
pub(super) fn answer(fleet: &Fleet, operation: &str, asked: &Value) -> Answer {
    let answered = match operation {
        "GetResource" => get(fleet, asked),
        _ => list(fleet, asked),
    };
    answered.unwrap_or_else(|refused| refused)
}

/// All resources of one type.
struct Resources {
    /// The name of the property that is the id of one.
    id_name: &'static str,
    /// Each id, with its other properties.
    all: Vec<(String, Value)>,
}

/// All resources of the type that was asked.
fn resources(fleet: &Fleet, asked: &Value) -> Result<Resources, Answer> {
    let declared = &fleet.declared;
    let kind = asked["TypeName"].as_str().unwrap_or_default();
    let (id_name, all) = match kind {
        "AWS::EC2::VPC" => ("VpcId", declared.vpcs.iter().map(|vpc| (vpc.id.clone(), json!({}))).collect()),
        "AWS::EC2::Subnet" => {
            let body = |subnet: &super::fleet::Subnet| {
                json!({
                    "VpcId": subnet.vpc,
                    "AvailabilityZone": subnet.zone,
                    "MapPublicIpOnLaunch": subnet.maps_public_ip,
                })
            };
            ("SubnetId", declared.subnets.iter().map(|subnet| (subnet.id.clone(), body(subnet))).collect())
        }
        "AWS::EC2::SecurityGroup" => {
            let groups = declared.security_groups.iter();
            ("Id", groups.map(|group| (group.id.clone(), json!({"VpcId": group.vpc, "GroupId": group.id}))).collect())
        }
        "AWS::EC2::NatGateway" => {
            let body = |gateway: &super::fleet::NatGateway| {
                let mut body = json!({"SubnetId": gateway.subnet, "ConnectivityType": "public"});
                for (field, value) in [("VpcId", &gateway.vpc), ("State", &gateway.state)] {
                    if let Some(value) = value {
                        body[field] = json!(value);
                    }
                }
                body
            };
            ("NatGatewayId", declared.nat_gateways.iter().map(|gateway| (gateway.id.clone(), body(gateway))).collect())
        }
        _ => {
            let message = format!("the embedded world does not implement resources of type `{kind}`");
            return Err(Answer::error(501, "NotImplementedException", message));
        }
    };
    Ok(Resources { id_name, all })
}

fn list(fleet: &Fleet, asked: &Value) -> Result<Answer, Answer> {
    only(asked, &["TypeName", "NextToken", "MaxResults"])?;
    let Resources { id_name, all } = resources(fleet, asked)?;
    let listed: Vec<Value> = all
        .into_iter()
        .map(|(id, _)| json!({"Identifier": id, "Properties": json!({id_name: id}).to_string()}))
        .collect();
    let answer = Answer { status: 200, body: json!({"TypeName": asked["TypeName"], "ResourceDescriptions": listed}) };
    Ok(paged(answer, asked, "ResourceDescriptions", "MaxResults", "NextToken"))
}

fn get(fleet: &Fleet, asked: &Value) -> Result<Answer, Answer> {
    only(asked, &["TypeName", "Identifier"])?;
    let Resources { id_name, all } = resources(fleet, asked)?;
    let asked_id = asked["Identifier"].as_str().unwrap_or_default();
    let Some((id, mut properties)) = all.into_iter().find(|(id, _)| id == asked_id) else {
        let message = format!("Resource of type '{}' with identifier '{asked_id}' was not found.", asked["TypeName"]);
        return Err(Answer::error(400, "ResourceNotFoundException", message));
    };
    properties[id_name] = json!(id);
    let description = json!({"Identifier": id, "Properties": properties.to_string()});
    let body = json!({"TypeName": asked["TypeName"], "ResourceDescription": description});
    Ok(Answer { status: 200, body })
}
