//! Signals become a state that work looks at: nobody is interrupted in the middle of a step that must finish.

use tokio::sync::watch;

use crate::error::Exit;

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
        Ok(Self { state })
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
