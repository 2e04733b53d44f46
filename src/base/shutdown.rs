//! Signals become a state that work looks at: no step that must finish is interrupted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Exit, Failure, Result};

/// With what comes after it, within the second in which a signal is answered.
const A_MOMENT: Duration = Duration::from_millis(600);

/// One for the process, as its signals are.
static LISTENING: OnceLock<Shutdown> = OnceLock::new();
static SHIELDS: AtomicUsize = AtomicUsize::new(0);

/// While one lives, the children of [`crate::drivers::tool::run`] come to their own end: half of what they do would be worse than none.
#[must_use = "it ends when it is dropped"]
pub struct Shield(());

impl Shield {
    pub fn raise() -> Self {
        SHIELDS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        SHIELDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// [`Shutdown::cut`] for who asks a program something, wherever that is, unless a [`Shield`] is up.
pub async fn cut<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match LISTENING.get() {
        Some(shutdown) if SHIELDS.load(Ordering::Relaxed) == 0 => shutdown.cut(what, work).await,
        _ => work.await,
    }
}

/// [`Shutdown::cut_soon`] for who has no handle.
pub async fn cut_soon<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match LISTENING.get() {
        Some(shutdown) => shutdown.cut_soon(what, work).await,
        None => work.await,
    }
}

/// How urgently the program was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    None,
    /// Close the window properly.
    Asked,
    /// A second signal: containers are started without waiting until what they depend on is ready.
    Hurried,
}

#[derive(Clone, Copy, Debug)]
struct State {
    urgency: Urgency,
    exit: Exit,
    /// How often a hangup asked for the configuration to be read again.
    reloads: u64,
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The terminal is gone.
    Ends,
    /// A daemon has none.
    Reloads,
}

/// A handle on the program's wish to end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    state: watch::Receiver<State>,
}

impl Shutdown {
    /// Installs the handlers for SIGINT, SIGTERM and SIGHUP. Must be called inside the runtime.
    pub fn listen(on_hangup: Hangup) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (sender, state) = watch::channel(State {
            urgency: Urgency::None,
            exit: Exit::Terminated,
            reloads: 0,
        });
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            loop {
                let exit = tokio::select! {
                    _ = interrupt.recv() => Exit::Interrupted,
                    _ = terminate.recv() => Exit::Terminated,
                    _ = hangup.recv() => {
                        if on_hangup == Hangup::Reloads {
                            sender.send_modify(|state| state.reloads += 1);
                            continue;
                        }
                        Exit::Terminated
                    }
                };
                sender.send_modify(|state| {
                    if state.urgency == Urgency::None {
                        state.urgency = Urgency::Asked;
                        state.exit = exit;
                    } else {
                        state.urgency = Urgency::Hurried;
                    }
                });
            }
        });
        let shutdown = Self { state };
        let _ = LISTENING.set(shutdown.clone());
        Ok(shutdown)
    }

    /// Drops `work` at the first signal, which is an error that names `what`. For all that only looks and waits: never for what
    /// starts containers or exchanges data.
    pub async fn cut<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.asked() => {
                Err(Failure::new(self.exit(), format!("a signal ended {what}")).into())
            }
            done = work => done,
        }
    }

    /// As [`Shutdown::cut`], for what should be done after a signal as well if it can be done in a moment: an engine that answers gets
    /// to it, one that does not is not waited for.
    pub async fn cut_soon<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let over = async {
            self.asked().await;
            tokio::time::sleep(A_MOMENT).await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = over => {
                Err(Failure::new(self.exit(), format!("a signal ended {what}")).into())
            }
        }
    }

    pub fn is_asked(&self) -> bool {
        self.state.borrow().urgency >= Urgency::Asked
    }

    /// 130 or 143, by the first signal.
    pub fn exit(&self) -> Exit {
        self.state.borrow().exit
    }

    /// Resolves when the first signal has come; at once when it already has.
    pub async fn asked(&self) {
        self.reached(Urgency::Asked).await;
    }

    /// Resolves when a second signal has come.
    pub async fn hurried(&self) {
        self.reached(Urgency::Hurried).await;
    }

    /// Resolves when SIGHUP has come more often than `seen`, which is how often then. Never, where it ends the program.
    pub async fn reload_asked(&self, seen: u64) -> u64 {
        self.until(|state| state.reloads > seen).await;
        self.state.borrow().reloads
    }

    async fn reached(&self, urgency: Urgency) {
        self.until(|state| state.urgency >= urgency).await;
    }

    async fn until(&self, is_it: impl FnMut(&State) -> bool) {
        let mut state = self.state.clone();
        // The sender lives in a task that never ends; were it gone, no signal could come any more.
        if state.wait_for(is_it).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
