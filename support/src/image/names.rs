//! Files that are secret by their name.

/// The rule by which a file is secret because of its name, whatever it holds. Private keys in PEM are told by their content.
#[must_use]
pub fn rule_of_file(path: &str) -> Option<&'static str> {
    // What was ever committed is in there, compressed, whatever a later commit took out.
    if path.contains(".git/objects/") {
        return Some("git-history-file");
    }
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let folder = parts.next().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    Some(match (folder, name) {
        // The plan excludes `.env` and `.env.*`: an example is no exception.
        (_, ".env") => "environment-file",
        _ if lower == ".env" || lower.starts_with(".env.") => "environment-file",
        (_, "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ecdsa_sk" | "id_ed25519" | "id_ed25519_sk") => "ssh-key-file",
        (".aws", "credentials") => "aws-credentials-file",
        (_, ".netrc" | "_netrc" | ".pgpass" | ".git-credentials" | ".pypirc" | ".npmrc") => "credentials-file",
        (".docker", "config.json") | (_, ".dockercfg" | ".dockerconfigjson") => "registry-login-file",
        (".kube", "config") | (_, "kubeconfig") => "cluster-login-file",
        _ if ends(&[".p12", ".pfx", ".keystore", ".jks"]) => "key-store-file",
        _ if ends(&[".tfstate", ".tfstate.backup"]) => "terraform-state-file",
        _ if ends(&[".tfvars", ".tfvars.json"]) => "terraform-variables-file",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::rule_of_file;
    use rstest::rstest;

    #[rstest]
    #[case(".env")]
    #[case("config/.env")]
    #[case("config/.env.local")]
    #[case("config/.env.example")]
    #[case("root/.ssh/id_rsa")]
    #[case("id_ed25519")]
    #[case("root/.aws/credentials")]
    #[case("root/.netrc")]
    #[case("root/.pypirc")]
    #[case("app/.npmrc")]
    #[case("root/.git-credentials")]
    #[case("root/.docker/config.json")]
    #[case("etc/kubeconfig")]
    #[case("root/.kube/config")]
    #[case("a.p12")]
    #[case("A.PFX")]
    #[case("x/b.keystore")]
    #[case("x/b.jks")]
    #[case(".git/objects/4b/825dc642cb6eb9a060e54bf8d69288fbee4904")]
    #[case("app/.git/objects/pack/pack-1.pack")]
    #[case("srv/platform.git/objects/pack/pack-1.idx")]
    #[case("infra/terraform.tfstate")]
    #[case("infra/terraform.tfstate.backup")]
    #[case("infra/dev.tfvars")]
    #[case("infra/dev.auto.tfvars.json")]
    fn a_secret_file_is_told_by_its_name(#[case] path: &str) {
        assert!(rule_of_file(path).is_some(), "{path}");
    }

    #[rstest]
    #[case("environment")]
    #[case(".envrc")]
    #[case("app.env.py")]
    #[case("id_rsa.pub")]
    #[case("credentials")]
    #[case("aws/credentials")]
    #[case("config.json")]
    #[case(".dockerignore")]
    #[case(".git/HEAD")]
    #[case("git/objects/x")]
    #[case("kube/config")]
    #[case("etc/ssl/certs/ca.pem")]
    #[case("main.tf")]
    #[case("p12")]
    #[case("")]
    fn another_file_is_not(#[case] path: &str) {
        assert_eq!(rule_of_file(path), None);
    }
}
