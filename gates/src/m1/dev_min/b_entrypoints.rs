//! M1.B: one image serves every entrypoint of the matrix; each is started, in the image, twice.

mod bundle;
mod matrix;
mod smoke;

use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable_derived, non_secret_derived};

use self::matrix::{AGREES, CHECKER, COMPLETE, INVOCATIONS};
use self::smoke::{DRY, HELP, OUTPUT, Smoke};
use super::e_build_surface::Built;
use super::{e_build_surface, files, source};

pub(super) use self::bundle::Bundle;
pub(super) use self::matrix::Matrix;
pub(super) use self::smoke::{PYTHON, Start};

const SMOKE: &str = "entrypoint_validation.json";

/// What the plan says of how entrypoints are validated.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Method {
    /// Code spans of M1.B outside its table.
    commands: Vec<String>,
    /// Whether the bundle has a value for every required option; those that it lacks.
    lacking: Vec<String>,
    /// Why there is no bundle.
    problem: Option<String>,
}

static METHOD: Check<Method> = Check::<Method>::derived(
    "entrypoints.method",
    "validation_method",
    &["method"],
    |method| {
        let named = |word: &str| method.commands.iter().any(|command| command.contains(word));
        support::ensure!(named("--help"), "M1.B pins no `--help` invocation");
        support::ensure!(named("--once"), "M1.B does not say how a daemon is invoked once");
        Ok("M1.B pins two invocations for each row: its help, and one dry run".to_owned())
    },
    |method| method.commands.clear(),
)
.basis(Basis::Documented)
.next("say in M1.B how each row is invoked: `python -m <module> --help`, and once with its required arguments");

static BUNDLE: Check<Method> = Check::<Method>::derived(
    "entrypoints.bundle",
    "bundle",
    &["method"],
    |method| {
        if let Some(problem) = &method.problem {
            return Err(problem.clone().into());
        }
        support::ensure!(method.lacking.is_empty(), "the bundle has no value for {}", method.lacking.join(", "));
        Ok("the bundle has a value for every required option".to_owned())
    },
    |method| method.lacking.push("--doctored".to_owned()),
)
.next("add the option to the bundle's arguments.toml; PHASEGATE_BUNDLE names the bundle's folder");

/// Tasks and this gate start what a row says: nothing stands before it, and it runs as a user that is there.
static PLAIN_START: Check<Built> = Check::<Built>::derived(
    "image.plain_start",
    "image_start",
    &["M1.E/built"],
    |built| {
        let Some(image) = &built.image else {
            return Err(Unmet::blocked_by("PG-M1.E-build_failed", "there is no image"));
        };
        support::ensure!(
            image.entrypoint.is_empty(),
            "the image's ENTRYPOINT is `{}`: it would stand before each row's command, and no row was tried with it",
            image.entrypoint.join(" ")
        );
        let numeric = image.user.split(':').all(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
        support::ensure!(
            image.user.is_empty() || numeric,
            "the image's USER is `{}`, a name that only a start would show to be there",
            image.user
        );
        Ok(format!("{} starts each row's command as it stands, as user `{}`", image.id, image.user))
    },
    |built| {
        if let Some(image) = &mut built.image {
            image.entrypoint = vec!["doctored".to_owned()];
        }
    },
)
.next("take ENTRYPOINT out of the Dockerfile (`ENTRYPOINT []` where the base has one), and give USER by its number");

static DURABLE: Check<Publication> = durable_derived(
    "entrypoint_validation.durable",
    "evidence",
    &["publish:entrypoint_validation.json"],
    |published| published.durable(Some("PG-M1.B-evidence_secret")),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, and package under a new run id");

static NON_SECRET: Check<Publication> =
    non_secret_derived("entrypoint_validation.non_secret", "evidence_secret", &["publish:entrypoint_validation.json"])
        .next("keep the entrypoint from printing the value, and rotate it");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.B", execute)
        .rests_on("validation method")
        .after("M1.E")
        .documents(read_documents)
        .publishes(publish)
        .may_be_given(source::BUNDLE)
        .proves("every row of the matrix answers in the image: help without secrets, and a dry run with its required arguments")
        .checks([
            &COMPLETE as &dyn AnyCheck,
            &INVOCATIONS,
            &CHECKER,
            &AGREES,
            &METHOD,
            &BUNDLE,
            &HELP,
            &DRY,
            &OUTPUT,
            &PLAIN_START,
            &NON_SECRET,
            &DURABLE,
        ])
        .requirement("matrix-complete", [COMPLETE.holds()])
        .requirement("invocation-contract", [INVOCATIONS.holds(), CHECKER.holds(), AGREES.holds(), BUNDLE.holds()])
        .requirement(
            "validation-method",
            [METHOD.holds(), HELP.holds(), HELP.refusal(), DRY.holds(), DRY.refusal(), PLAIN_START.holds()],
        )
}

/// `entrypoints_answer`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M1.B")]
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&COMPLETE, &INVOCATIONS, &CHECKER, &AGREES, &METHOD, &BUNDLE]
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let matrix = matrix::observe(run)?;
    let table: Vec<usize> = matrix.rows.iter().map(|row| row.line).collect();
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.B"));
    let entries = records.flat_map(|record| &record.entries).flat_map(|e| std::iter::once(e).chain(e.all_below()));
    let commands = entries
        .filter(|entry| !table.contains(&entry.place.line))
        .flat_map(|entry| entry.code())
        .map(str::to_owned)
        .collect();
    let (lacking, problem) = match bundle::read(run) {
        Ok(bundle) => (bundle.lacking(&matrix), None),
        Err(why) => (Vec::new(), Some(why)),
    };
    run.observe("method", "M1.B of the plan; the bundle's arguments.toml", &Method { commands, lacking, problem })
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let matrix: Matrix = run.fact("matrix")?;
    let built = e_build_surface::built(run)?;
    let bundle = bundle::read(run).map_err(Stop::Fault)?;
    smoke::run(run, &matrix, &built, &bundle)
}

/// The folder's files and arguments, for lanes that start entrypoints too.
pub(super) fn bundle(run: &LaneRun<'_>) -> Result<Bundle, Stop> {
    bundle::read(run).map_err(Stop::Fault)
}

/// The matrix, for lanes that start entrypoints too.
pub(super) fn matrix(run: &LaneRun<'_>) -> Result<Matrix, Stop> {
    run.fact("M1.B/matrix")
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let Ok(smoke) = run.fact::<Smoke>("smoke") else { return Ok(()) };
    let open =
        run.open_among(&[&COMPLETE, &INVOCATIONS, &CHECKER, &AGREES, &BUNDLE, &HELP, &DRY, &OUTPUT, &PLAIN_START]);
    let body = smoke::file(run, &smoke, &open)?;
    files::publish(run, SMOKE, body, &["platform_run_id", "image_id", "rows", "verdict"])
}
