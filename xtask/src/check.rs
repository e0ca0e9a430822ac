//! Everything that can be said about the code without running it.

mod boundary;
mod deny;
mod licence;
mod msrv;
mod repository;
mod source;
mod unused;

use std::time::Duration;

use crate::library;
use crate::metadata::Metadata;
use crate::stage::{self, Report};

/// A cold build of every dependency on two slow cores fits in this; a hang does not.
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Runs every check, also after one has failed, and says which did.
pub(crate) fn run() -> Result<(), String> {
    let mut report = Report::default();
    stages(&mut report);
    report.finish()
}

/// The checks, the quick ones first.
pub(crate) fn stages(report: &mut Report) {
    report.stage("check formatting", || {
        stage::run(&mut stage::cargo(&["fmt", "--all", "--check"]), BUILD_LIMIT, |_| {})
    });
    report.stage("check repository", || verdict(repository::check()?));
    report.stage("check C header", library::check_header);
    if let Some(metadata) = report.stage("check lock file", Metadata::load) {
        report.stage("check boundaries", || verdict(boundary::check(&metadata)?));
        report.stage("check MSRV", || verdict(msrv::check(&metadata)));
        report.stage("check deny.toml", || verdict(deny::check(&metadata)?));
        report.stage("check unused", || verdict(unused::check(&metadata)?));
    }
    report.stage("check lints", || {
        stage::run(
            &mut stage::cargo(&[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
            BUILD_LIMIT,
            |_| {},
        )
    });
    report.stage("check docs", || {
        stage::run(
            // The C library has the SDK's name; its documentation is its header.
            stage::cargo(&[
                "doc",
                "--locked",
                "--workspace",
                "--exclude",
                "tramline-c",
                "--no-deps",
                "--lib",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
            BUILD_LIMIT,
            |_| {},
        )
    });
}

fn verdict(findings: Vec<String>) -> Result<(), String> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(findings.join("\n"))
}
