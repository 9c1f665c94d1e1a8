//! One positive and one near miss for each token rule, put together from parts.

/// A rule with a text that it takes and a text that only comes near.
pub struct Sample {
    pub rule: &'static str,
    pub positive: String,
    pub near: String,
}

/// `length` characters that look like chance, the same at each call.
pub fn chance(length: usize) -> String {
    const LETTERS: &[u8] = b"K7dQx2ZbR9mTf4WsHc8VnY3pLgJ6uEaN5kPzXq1BrDtMvCwFhGyS";
    (0..length).map(|i| char::from(LETTERS[(i * 7 + i / 11) % LETTERS.len()])).collect()
}

fn hex(length: usize) -> String {
    "0f1e2d3c4b5a69788796a5b4c3d2e1f0".chars().cycle().take(length).collect()
}

/// All samples, one for each token rule at least.
pub fn samples() -> Vec<Sample> {
    let sample =
        |rule, positive: &[&str], near: &[&str]| Sample { rule, positive: positive.concat(), near: near.concat() };
    let long = chance(90);
    let word = chance(36);
    let digits = hex(64);
    let capitals = chance(16).to_uppercase();
    vec![
        sample("aws-access-key-id", &["AK", "IA", &capitals], &["AK", "IA", &capitals[..15], "-"]),
        sample("aws-access-key-id", &["AS", "IA", &capitals], &["AR", "OA", &capitals]),
        sample("aws-session-token", &["IQoJb3Jp", "Z2lu", &long], &["IQoJb3Jp", "Z2lu", &word]),
        sample(
            "aws-signed-request",
            &["https://b.s3.amazonaws.com/k?X-Amz-", "Signature=", &digits],
            &["https://b.s3.amazonaws.com/k?X-Amz-", "Signature=", &digits[..63]],
        ),
        sample("private-key-block", &["-----BEGIN RSA ", "PRIVATE KEY-----"], &["-----BEGIN RSA ", "PUBLIC KEY-----"]),
        sample("private-key-block", &["-----BEGIN ", "PRIVATE KEY-----\nMIIE"], &["-----BEGIN ", "CERTIFICATE-----"]),
        sample(
            "private-key-block",
            &["-----BEGIN PGP ", "PRIVATE KEY BLOCK-----"],
            &["-----BEGIN PGP ", "PUBLIC KEY BLOCK-----"],
        ),
        sample(
            "json-web-token",
            &["eyJhbGciOiJIUzI1NiJ9", ".", "eyJzdWIiOiIxMjM0In0", ".", &word],
            &["eyJhbGciOiJIUzI1NiJ9", ".", "eyJzdWIiOiIxMjM0In0"],
        ),
        sample("github-token", &["gh", "p_", &word], &["gh", "p_", &word[..35]]),
        sample("github-token", &["gh", "o_", &word], &["gh", "x_", &word]),
        sample("github-token", &["gh", "s_", &word], &["ghs-", &word]),
        sample("github-fine-grained-token", &["github_", "pat_", &long[..82]], &["github_", "path_", &long[..82]]),
        sample("slack-token", &["xo", "xb-1234567890-", &word], &["xo", "xb-1234"]),
        sample("slack-token", &["xa", "pp-1-", &word], &["xa", "pp-x-", &word]),
        sample(
            "slack-webhook",
            &["https://hooks.", "slack.com/services/", &word],
            &["https://hooks.", "slack.com/services/T0"],
        ),
        sample("confluent-secret", &["cf", "lt", &long[..60]], &["cf", "lt", &word]),
        sample("databricks-token", &["da", "pi", &digits[..32]], &["da", "pi", &digits[..31], "g"]),
        sample(
            "password-in-url",
            &["postgres://user:", "hunter22", "@db.example/x"],
            &["postgres://user@db.example/x?a=:b"],
        ),
        sample("password-in-url", &["https://:", "hunter22", "@db.example/x"], &["https://db.example:5432/x"]),
        sample("password-in-dsn", &["user:", "hunter22", "@tcp(db:3306)/x"], &["user@tcp(db:3306)/x"]),
        sample("password-in-dsn", &["jdbc:oracle:thin:scott/", "tiger22", "@db:1521"], &["jdbc:oracle:thin:@db:1521"]),
        sample(
            "basic-credentials",
            &["Authorization: Basic ", "dXNlcjpodW50", "ZXIyMg=="],
            &["Authorization: Basic ", "dXNlcmh1bnRl", "cjIy"],
        ),
        sample(
            "bearer-credentials",
            &["Authorization: Bearer ", &word],
            &["Authorization: Bearer ", "authentication-required"],
        ),
    ]
}
