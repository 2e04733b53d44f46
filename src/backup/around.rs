//! What the operator wants to be done before and after a run as a whole.

use super::run::Run;
use crate::base::shutdown::Shutdown;
use crate::config::{Config, HookWhen};
use crate::error::{Exit, Failure, Result, render};
use crate::hooks::{self, Owed, Series, Told};
use crate::model::report::{HookReport, RunReport};
use crate::notify::Masks;
use crate::ui::Ui;

/// A run whose hooks before it were done.
pub struct Around {
    owed: Option<Owed>,
    reports: Vec<HookReport>,
    warnings: Vec<String>,
}

impl Around {
    /// An error keeps the run from beginning; what follows the hooks that were begun has been done then.
    pub async fn begin(run: &Run<'_>) -> Result<Self> {
        hooks::check(run.config)?;
        let (before, after) = (HookWhen::BeforeRun, HookWhen::AfterRun);
        let [before, after] = [before, after].map(|when| hooks::of_run(run.config, when));
        let told = Told::of_run(run.backup_id);
        let owes = (told.clone(), run.engine.socket().to_owned());
        let owed = Owed::write(&run.paths.owed_hooks(), None, owes, after).await?;
        let (reports, wrong) = run.series().before(&before, &told).await;
        let pairs = before.iter().zip(&reports);
        let warnings = pairs.filter_map(|(hook, report)| hooks::warning(hook, report));
        let around = Self {
            warnings: warnings.collect(),
            reports,
            owed,
        };
        let Some(wrong) = wrong else {
            return Ok(around);
        };
        around.give_up(run).await;
        if run.shutdown.is_asked() {
            return Err(run.store.interrupted());
        }
        let what = format!("{wrong}; nothing was stopped, and nothing saved");
        Err(Failure::new(Exit::UnitsFailed, what).into())
    }

    /// The run came to no report.
    pub async fn give_up(self, run: &Run<'_>) {
        let told = Told::of_run(run.backup_id).and_exit_code(Exit::Unexpected.code());
        let mut report = None;
        self.pay(run, told, &mut report).await;
    }

    /// After its report is on the disk. True where the report has more in it by then.
    pub async fn end(self, run: &Run<'_>, told: Told, report: &mut RunReport) -> bool {
        let is_nothing = self.owed.is_none() && self.reports.is_empty();
        let told = told.and_exit_code(report.exit_code);
        self.pay(run, told, &mut Some(report)).await;
        !is_nothing
    }

    async fn pay(self, run: &Run<'_>, told: Told, report: &mut Option<&mut RunReport>) {
        let mut done = Vec::new();
        if let Some(mut owed) = self.owed {
            owed.tell(told);
            done = owed.pay(Some(&run.engine), &run.masks).await;
        }
        let Some(report) = report else {
            for (hook, done) in &done {
                if let Some(wrong) = hooks::is_wrong(hook, done) {
                    tracing::error!("{wrong}");
                }
            }
            return;
        };
        report.warnings.extend(self.warnings);
        report.hooks.extend(self.reports);
        for (hook, done) in done {
            if let Some(wrong) = hooks::is_wrong(&hook, &done) {
                report.warnings.push(wrong);
                if report.exit_code == 0 {
                    report.exit_code = Exit::UnitsFailed.code();
                }
            }
            report.warnings.extend(hooks::warning(&hook, &done));
            report.hooks.push(done);
        }
    }
}

/// A run that came to no unit.
pub async fn failed(ui: &Ui, config: &Config, shutdown: &Shutdown, exit_code: u8) {
    let hooks = hooks::of_run(config, HookWhen::Failed);
    if hooks.is_empty() {
        return;
    }
    if let Err(error) = hooks::check(config) {
        ui.error(&render(&error));
        return;
    }
    let series = Series {
        engine: None,
        masks: &Masks::of(config),
        shutdown,
    };
    let told = Told::default().and_exit_code(exit_code);
    for (hook, done) in series.after(&hooks, &told).await {
        let said = hooks::is_wrong(&hook, &done).or_else(|| hooks::warning(&hook, &done));
        said.iter().for_each(|said| ui.warn(said));
    }
}
