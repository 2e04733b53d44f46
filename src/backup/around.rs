//! What the operator wants to be done before and after a run as a whole.

use super::run::Run;
use crate::base::shutdown::Shutdown;
use crate::config::{Config, HookWhen};
use crate::error::{Exit, Failure, Result, render};
use crate::hooks::{self, Came, Owed, Series, Told};
use crate::model::report::RunReport;
use crate::notify::Masks;
use crate::ui::Ui;

/// A run whose hooks before it were done.
pub struct Around {
    owed: Option<Owed>,
    before: Came,
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
        let (before, is_done) = run.series().before(&before, &told).await;
        let wrong = before.wrong.join("; ");
        let around = Self { owed, before };
        if is_done {
            return Ok(around);
        }
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
        for wrong in pay(self.owed, run, told).await.wrong {
            tracing::error!("{wrong}");
        }
    }

    /// After its report is on the disk. True where the report has more in it by then.
    pub async fn end(self, run: &Run<'_>, told: Told, report: &mut RunReport) -> bool {
        let is_nothing = self.owed.is_none() && self.before.reports.is_empty();
        let told = told.and_exit_code(report.exit_code);
        let after = pay(self.owed, run, told).await;
        if report.exit_code == 0 && !after.wrong.is_empty() {
            report.exit_code = Exit::UnitsFailed.code();
        }
        report.warnings.extend(self.before.warnings);
        report.warnings.extend(after.wrong);
        report.warnings.extend(after.warnings);
        report.hooks.extend(self.before.reports);
        report.hooks.extend(after.reports);
        !is_nothing
    }
}

async fn pay(owed: Option<Owed>, run: &Run<'_>, told: Told) -> Came {
    let Some(mut owed) = owed else {
        return Came::default();
    };
    owed.tell(told);
    owed.pay(Some(&run.engine), &run.masks).await
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
    let came = series.after(&hooks, &told).await;
    let said = came.wrong.iter().chain(&came.warnings);
    said.for_each(|said| ui.warn(said));
}
