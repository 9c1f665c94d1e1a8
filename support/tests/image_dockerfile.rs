//! Dockerfiles as facts: what they take, and which of their variables are secret literals.
#![expect(clippy::panic, reason = "helpers of tests fail the test by panicking")]

#[path = "secrets_samples/mod.rs"]
mod samples;

use phasegate_support::image::dockerfile::{Dockerfile, DockerfileError, REDACTED, Source, VariableKind, Why};
use rstest::rstest;
use samples::{chance, samples};

fn read(text: &str) -> Dockerfile {
    Dockerfile::parse("Dockerfile", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The facts of `FROM scratch` and these lines.
fn below_from(lines: &str) -> Dockerfile {
    read(&format!("FROM scratch\n{lines}\n"))
}

#[test]
fn facts_stand_with_their_lines() {
    let file = read(concat!(
        "# syntax=docker/dockerfile:1\n",
        "ARG BASE=python:3.12-slim\n",
        "FROM --platform=linux/amd64 ${BASE} AS build\n",
        "# a comment\n",
        "ENV A=1 B=\"two words\" \\\n",
        "    # inside\n",
        "    C='${NOT}' D=${BASE}\n",
        "ENV OLD the old form\n",
        "COPY --chown=app:app pyproject.toml src/ /app/\n",
        "ADD [\"a b\", \"/c\"]\n",
        "FROM scratch\n",
        "COPY --from=build / /\n",
        "ONBUILD ENV LATER=yes\n",
    ));
    let stages: Vec<_> =
        file.stages.iter().map(|s| (s.image.as_str(), s.name.as_deref(), s.platform.as_deref(), s.line)).collect();
    assert_eq!(stages, [("${BASE}", Some("build"), Some("linux/amd64"), 3), ("scratch", None, None, 11)]);
    let variables: Vec<_> = file
        .variables
        .iter()
        .map(|v| (v.name.as_str(), v.value.as_deref().unwrap_or("-"), v.line, v.stage, v.on_build))
        .collect();
    assert_eq!(
        variables,
        [
            ("BASE", "python:3.12-slim", 2, None, false),
            ("A", "1", 5, Some(0), false),
            ("B", "two words", 5, Some(0), false),
            ("C", "${NOT}", 7, Some(0), false),
            ("D", "${BASE}", 7, Some(0), false),
            ("OLD", "the old form", 8, Some(0), false),
            ("LATER", "yes", 13, Some(1), true),
        ]
    );
    let transfers: Vec<_> =
        file.transfers.iter().map(|t| (t.line, t.sources.len(), t.destination.as_str(), t.whole_context())).collect();
    assert_eq!(transfers, [(9, 2, "/app/", false), (10, 1, "/c", false), (12, 1, "/", false)]);
    assert_eq!(file.transfers[0].flags[0].name, "chown");
    assert_eq!(file.transfers[2].from(), Some("build"));
    assert_eq!(file.secret_literals(), []);
    let again: Dockerfile = serde_json::from_str(&serde_json::to_string(&file).unwrap()).unwrap();
    assert_eq!(again, file);
}

#[rstest]
#[case("COPY . .", true)]
#[case("COPY ./ /app", true)]
#[case("ADD . /app", true)]
#[case("COPY / /app", true)]
#[case("COPY * /app/", true)]
#[case("COPY ./* /app/", true)]
#[case("COPY ?* /app/", true)]
#[case("COPY [^x]* /app/", true)]
#[case("COPY src/.. /app", true)]
#[case("COPY ../.. /app", true)]
#[case("COPY \".\" /app", true)]
#[case("COPY [\".\", \"/app\"]", true)]
#[case("COPY --chown=1:1 --link pyproject.toml . /app/", true)]
#[case("COPY --exclude=*.pyc . /app", true)]
#[case("copy . .", true)]
#[case("ONBUILD COPY . .", true)]
#[case("COPY \\\n  . \\\n  .", true)]
#[case("COPY --from=build . /", false)]
#[case("COPY --from= . /app", true)]
#[case("COPY ${SRC} /app", true)]
#[case("COPY src/$NAME /app", true)]
#[case("COPY src/a$ /app", false)]
#[case("COPY src/ /app/", false)]
#[case("COPY *.py /app/", false)]
#[case("COPY ./.. ./src/x/../y /app/", true)]
#[case("COPY src/fraud_detection config/platform /app/", false)]
#[case("COPY .dockerignore /app/", false)]
#[case("COPY <<EOF /app/x\n. .\nEOF", false)]
#[case("RUN cat <<EOF > /x\nCOPY . .\nEOF", false)]
#[case("RUN <<A cat && <<-\"B C\" cat\nCOPY . .\nA\nADD . .\n\tB C", false)]
fn the_whole_context_is_recognised(#[case] line: &str, #[case] whole: bool) {
    assert_eq!(below_from(line).whole_context().count(), usize::from(whole), "{line}");
}

#[test]
fn a_source_with_a_variable_is_open() {
    let file = below_from("ARG SRC=.\nCOPY ${SRC} /app\nCOPY src/$X /app");
    let open = |source: &Source| matches!(source, Source::Path { open: true, .. });
    assert!(file.transfers.iter().all(|transfer| transfer.sources.iter().all(open)), "{:?}", file.transfers);
}

#[rstest]
#[case("ADD https://example.com/x.tgz /x", true)]
#[case("ADD HTTP://example.com/x /x", true)]
#[case("ADD git@github.com:a/b.git /x", true)]
#[case("ADD https://github.com/a/b.git#main /x", true)]
#[case("ADD x.tgz /x", false)]
#[case("COPY https /x", false)]
fn a_remote_add_is_recognised(#[case] line: &str, #[case] remote: bool) {
    assert_eq!(below_from(line).transfers[0].remote(), remote);
}

#[rstest]
#[case("RUN --mount=type=bind,target=/x ls /x", "bind", true)]
#[case("RUN --mount=target=/x,source=. ls", "bind", true)]
#[case("RUN --mount=type=bind,src=/,target=/x ls", "bind", true)]
#[case("RUN --mount=type=bind,source=pyproject.toml,target=/x ls", "bind", false)]
#[case("RUN --mount=type=bind,from=build,target=/x ls", "bind", false)]
#[case("RUN --mount=type=bind,from=,target=/x ls", "bind", true)]
#[case("RUN --mount=type=secret,id=key ls", "secret", false)]
fn a_bind_of_the_context_is_a_fact(#[case] line: &str, #[case] kind: &str, #[case] whole: bool) {
    let file = below_from(line);
    assert_eq!((file.mounts[0].kind.as_str(), file.mounts[0].whole_context), (kind, whole));
}

#[test]
fn here_documents_are_facts_and_not_instructions() {
    let file = below_from("RUN cat <<EOF >/a && echo \"<<NO\"\nENV X=1\nEOF\nCOPY <<\"E\" /b\n$x\nE\nENV Y=2");
    let documents: Vec<_> =
        file.here_documents.iter().map(|d| (d.line, d.bytes, d.expand, d.destination.as_deref())).collect();
    assert_eq!(documents, [(3, 8, true, None), (6, 3, false, Some("/b"))]);
    assert_eq!(file.variables.len(), 1);
    assert_eq!(file.variables[0].line, 8);
}

#[rstest]
#[case("FROM scratch\nNOPE x\n", 2)]
#[case("FROM scratch\nENV\n", 2)]
#[case("FROM scratch\n\nENV A=1 B\n", 3)]
#[case("FROM scratch\nENV A\n", 2)]
#[case("FROM scratch\nCOPY x\n", 2)]
#[case("FROM scratch\nRUN cat <<EOF\nx\n", 2)]
#[case("ENV A=1\nFROM scratch\n", 1)]
#[case("# nothing\n", 1)]
#[case("FROM a AS x\nFROM b AS x\n", 2)]
#[case("FROM scratch\nRUN echo C:\\\\\nCOPY . /app\n", 2)]
#[case("# escape=`\nFROM scratch\nRUN echo C:``\nCOPY . /app\n", 3)]
fn an_error_names_file_and_line(#[case] text: &str, #[case] at: usize) {
    let error = Dockerfile::parse("images/Dockerfile", text).unwrap_err();
    assert!(matches!(error, DockerfileError::Form { line, .. } if line == at), "{error}");
    assert!(error.to_string().starts_with(&format!("images/Dockerfile:{at}: ")), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Dockerfile");
    assert!(matches!(Dockerfile::read(&path), Err(DockerfileError::Read { .. })));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(Dockerfile::read(&path), Err(DockerfileError::NotText { .. })));
}

/// Values stand for themselves: `{chance}` is replaced by characters that look like chance.
#[rstest]
#[case("ENV DB_PASSWORD=hunter22", Why::Value)]
#[case("ENV DB_PASSWORD hunter22", Why::Value)]
#[case("ENV A=1 DB_PASSWORD='correct horse'", Why::Value)]
#[case("ENV A=1 \\\n DB_PASSWORD=\"correct horse\"", Why::Value)]
#[case("ENV DB_PASSWORD=hun\\ ter22", Why::Value)]
#[case("ENV DB_PASSWORD='$ecretword'", Why::Value)]
#[case("ENV DB_PASSWORD=\\$ecretword", Why::Value)]
#[case("ENV DB_PASSWORD=pre${X}fix", Why::Value)]
#[case("ENV DB_PASSWORD=${X:-hunter22}", Why::Value)]
#[case("ENV DB_PASSWORD=${X:-${Y:-hunter22}}", Why::Value)]
#[case("ENV DB_PASSWORD=\"${X-hunter22}\"", Why::Value)]
#[case("ENV CLIENT_SECRET={chance}", Why::Value)]
#[case("ARG IG_API_KEY={chance}", Why::Value)]
#[case("ENV DB_DSN=postgres://app:hunter22@db/x", Why::Value)]
#[case("ENV DB_DSN=postgres://app:hunter22@${HOST}/x", Why::Value)]
#[case("ENV HARMLESS=postgres://app:hunter22@db/x", Why::Value)]
#[case("ONBUILD ENV DB_PASSWORD=hunter22", Why::Value)]
#[case("ARG IG_API_KEY=x1", Why::NamedDefault)]
#[case("ENV IG_API_KEY=x1", Why::NamedDefault)]
#[case("ARG GITHUB_TOKEN=changeme", Why::NamedDefault)]
#[case("ENV CONFLUENT_API_SECRET=local-dev", Why::NamedDefault)]
#[case("ENV IG_API_KEY=${IG_API_KEY:-dev}", Why::NamedDefault)]
#[case("ENV GATEWAY_API_KEY=0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9", Why::NamedDefault)]
#[case("ENV DEPLOY_TOKEN=7f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c11", Why::NamedDefault)]
#[case("ENV PGPASSWORD=password", Why::NamedDefault)]
#[case("ARG CLIENT_SECRET=secret", Why::NamedDefault)]
#[case("ARG IG_API_KEY", Why::NamedArgument)]
#[case("ARG PIP=1 GITHUB_TOKEN", Why::NamedArgument)]
#[case("ARG dbPassword", Why::NamedArgument)]
fn a_secret_literal_is_found(#[case] line: &str, #[case] why: Why) {
    let line = line.replace("{chance}", &chance(24));
    let file = below_from(&line);
    let [literal] = file.secret_literals() else { panic!("{line}: {:?}", file.secret_literals()) };
    assert_eq!(literal.why, why, "{line}");
    assert_eq!(literal.kind == VariableKind::Arg, line.starts_with("ARG"));
    let shown = serde_json::to_string(&file).unwrap();
    assert!(why == Why::NamedArgument || shown.contains(REDACTED), "{shown}");
    for word in ["hunter22", "horse", "ecretword", "changeme", "local-dev", &chance(24)] {
        assert!(!shown.contains(word), "the fact shows the value: {shown}");
    }
}

#[rstest]
#[case("ENV SSM_IG_API_KEY_PATH=/fraud-platform/dev_min/ig/api_key")]
#[case("ARG SSM_DB_PASSWORD_PATH=/fraud-platform/dev_min/db/password")]
#[case("ENV DB_PASSWORD=")]
#[case("ENV DB_PASSWORD=\"\"")]
#[case("ENV DB_PASSWORD=${DB_PASSWORD}")]
#[case("ENV DB_PASSWORD=$DB_PASSWORD")]
#[case("ENV DB_PASSWORD=\"${DB_PASSWORD}\"")]
#[case("ENV DB_PASSWORD=${A}${B}")]
#[case("ENV DB_PASSWORD=${DB_PASSWORD:-}")]
#[case("ENV DB_PASSWORD=${DB_PASSWORD:-${OTHER}}")]
#[case("ENV DB_PASSWORD=<set-at-runtime>")]
#[case("ENV DB_PASSWORD=/run/secrets/db_password")]
#[case("ENV IG_API_KEY_FILE=/run/secrets/x1")]
#[case("ENV IG_API_KEY_HEADER=X-Api-Key")]
#[case("ARG TOKEN_TTL=300")]
#[case("ENV MAX_TOKENS=512")]
#[case("ENV AUTH_MODE=none")]
#[case("ENV CREDENTIAL_OWNER_MODE=user_creds_dev")]
#[case("ARG API_KEY_HEADER")]
#[case("ARG BASE=python:3.12-slim")]
#[case("ENV PATH=/opt/app/bin:$PATH PYTHONUNBUFFERED=1")]
#[case("ENV DB_DSN=postgres://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/x")]
#[case("ARG GIT_SHA=7f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c11")]
fn what_comes_near_is_no_secret_literal(#[case] line: &str) {
    assert_eq!(below_from(line).secret_literals(), [], "{line}");
}

#[test]
fn each_token_of_the_rule_book_is_found_in_a_variable() {
    for sample in samples().into_iter().filter(|sample| !sample.positive.contains('\n')) {
        let file = below_from(&format!("ENV HARMLESS='{}'", sample.positive));
        let rules: Vec<&str> = file.secret_literals().iter().map(|literal| literal.rule.as_str()).collect();
        assert_eq!(rules.len(), 1, "{}: {rules:?}", sample.rule);
        let near = below_from(&format!("ENV HARMLESS='{}'", sample.near));
        assert!(near.secret_literals().iter().all(|literal| literal.rule != sample.rule), "{} near", sample.rule);
    }
}

#[test]
fn secrets_elsewhere_in_the_text_are_hits() {
    let key = &samples()[0].positive;
    for line in [format!("LABEL k={key}"), format!("RUN cat <<E >/x\n{key}\nE"), format!("COPY <<E /x\n{key}\nE")] {
        let file = below_from(&line);
        assert!(file.hits.iter().any(|hit| hit.rule == samples()[0].rule), "{line}");
        assert!(!serde_json::to_string(&file).unwrap().contains(key.as_str()));
    }
}

#[test]
fn another_escape_character_is_obeyed() {
    let file = read("# escape=`\nFROM scratch\nENV A=C:\\x `\n  B=2\n");
    let values: Vec<_> = file.variables.iter().map(|v| v.value.as_deref().unwrap()).collect();
    assert_eq!(values, ["C:\\x", "2"]);
}

/// What comes neither out of the context nor out of a stage before it.
#[rstest]
#[case("FROM a AS one\nFROM b\nCOPY --from=one /x /x\n", &[])]
#[case("FROM a AS one\nFROM b\nCOPY --from=ONE /x /x\n", &[])]
#[case("FROM a\nFROM b\nCOPY --from=0 /x /x\n", &[])]
#[case("FROM a\nFROM b\nCOPY --from=1 /x /x\n", &[("1", 3)])]
#[case("FROM a\nCOPY --from=one /x /x\nFROM b AS one\n", &[("one", 2)])]
#[case("FROM a AS one\nCOPY --from=one /x /x\n", &[("one", 2)])]
#[case("FROM a\nCOPY --from=registry.example/x:1 /x /x\n", &[("registry.example/x:1", 2)])]
#[case("FROM a\nRUN --mount=from=registry.example/x:1,target=/x ls\n", &[("registry.example/x:1", 2)])]
#[case("FROM a\nONBUILD COPY --from=busybox /x /x\n", &[("busybox", 2)])]
fn what_is_taken_from_elsewhere_is_named(#[case] text: &str, #[case] foreign: &[(&str, usize)]) {
    let foreign: Vec<(String, usize)> = foreign.iter().map(|(image, line)| ((*image).to_owned(), *line)).collect();
    assert_eq!(read(text).foreign(), foreign);
}
