//! Roles, and the policies that speak for them.

use std::collections::BTreeSet;

use super::SeedError;
use super::apply::{Seeder, differs};
use super::forms::RoleForm;
use super::world::{Policy, World};
use crate::substrate::RolePolicies;
use crate::substrate::reply::CallErrorKind;

impl Seeder<'_> {
    /// All managed policies, then all roles.
    pub(super) fn roles(&mut self, world: &World) -> Result<(), SeedError> {
        for policy in &world.policies {
            self.managed_policy(policy, world.account())?;
        }
        for (role, policies) in world.form.roles.iter().zip(&world.role_policies) {
            let there = self.role(role, world.account())?;
            self.inline_policies(role, policies, &there)?;
            self.attached_policies(role, world.account(), &there)?;
        }
        Ok(())
    }

    fn managed_policy(&mut self, policy: &Policy, account: &str) -> Result<(), SeedError> {
        let name = policy.name.as_str();
        match self.substrate.iam().managed_policy(&policy_arn(account, name)) {
            Ok(there) if there.value.document != policy.document => return Err(differs(format!("policy {name}"))),
            Ok(_) => {
                self.seeded.kept += 1;
                return Ok(());
            }
            Err(error) if error.kind == CallErrorKind::NotFound => self.seeded.made += 1,
            Err(error) => return Err(error.into()),
        }
        let call = self.link.call("iam", "create-policy", name);
        let document = policy.document.to_string();
        let request = self.iam.create_policy().policy_name(name).policy_document(document).customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(())
    }

    /// Makes a role, and says what policies it has already.
    fn role(&mut self, role: &RoleForm, account: &str) -> Result<RolePolicies, SeedError> {
        let name = role.name.as_str();
        let boundary = role.permissions_boundary.as_deref().map(|policy| policy_arn(account, policy));
        match self.substrate.iam().get_role(name) {
            Ok(there) if there.value.permissions_boundary != boundary => {
                return Err(differs(format!("the permissions boundary of role {name}")));
            }
            Ok(_) => {
                self.seeded.kept += 1;
                return Ok(self.substrate.iam().role_policies(name)?.value);
            }
            Err(error) if error.kind == CallErrorKind::NotFound => self.seeded.made += 1,
            Err(error) => return Err(error.into()),
        }
        let trust = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": role.trust_service},
                "Action": "sts:AssumeRole",
            }],
        });
        let call = self.link.call("iam", "create-role", name);
        let request = self
            .iam
            .create_role()
            .role_name(name)
            .assume_role_policy_document(trust.to_string())
            .set_permissions_boundary(boundary)
            .customize();
        call.send(request.interceptor(call.probe()).send())?;
        Ok(RolePolicies { role: name.to_owned(), inline: Vec::new(), attached: Vec::new() })
    }

    fn inline_policies(&mut self, role: &RoleForm, policies: &[Policy], there: &RolePolicies) -> Result<(), SeedError> {
        let what = |name: &str| format!("policy {name} of role {}", role.name);
        if let Some(other) = there.inline.iter().find(|one| policies.iter().all(|policy| policy.name != one.name)) {
            return Err(differs(what(&other.name)));
        }
        for Policy { name, document } in policies {
            match there.inline.iter().find(|one| one.name == *name) {
                Some(one) if one.document != *document => return Err(differs(what(name))),
                Some(_) => self.seeded.kept += 1,
                None => {
                    self.seeded.made += 1;
                    let call = self.link.call("iam", "put-role-policy", format!("{}/{name}", role.name));
                    let request = self.iam.put_role_policy().role_name(&role.name).policy_name(name);
                    let request = request.policy_document(document.to_string()).customize();
                    call.send(request.interceptor(call.probe()).send())?;
                }
            }
        }
        Ok(())
    }

    fn attached_policies(&mut self, role: &RoleForm, account: &str, there: &RolePolicies) -> Result<(), SeedError> {
        let wanted: BTreeSet<String> = role.attached.iter().map(|name| policy_arn(account, name)).collect();
        if let Some(other) = there.attached.iter().find(|policy| !wanted.contains(&policy.arn)) {
            return Err(differs(format!("policy {}, attached to role {},", other.arn, role.name)));
        }
        for arn in wanted {
            if there.attached.iter().any(|policy| policy.arn == arn) {
                self.seeded.kept += 1;
                continue;
            }
            self.seeded.made += 1;
            let call = self.link.call("iam", "attach-role-policy", format!("{} {arn}", role.name));
            let request = self.iam.attach_role_policy().role_name(&role.name).policy_arn(arn).customize();
            call.send(request.interceptor(call.probe()).send())?;
        }
        Ok(())
    }
}

fn policy_arn(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:policy/{name}")
}
